import { isUnder } from './block-names.js';
import type { Stack } from './stacks.js';
import type { VocabularyTensor } from './vocabulary.js';
import { type Kind, readWords } from './words.js';

/** A part of a model that slices and parameters can be given for. */
export interface Module {
  /** What the names of its tensors begin with; 'default' where it is the whole model. */
  name: string;
  /** Index into the architecture's stacks; null for parts without layers, projectors say. */
  stack: number | null;
  kind: Kind | null;
}

/** A model with a single stack is one module. */
export const WHOLE = 'default';

const PROJECTOR = /(projector|connector|merger|multi_modal|bridge|aligner|^mlp1$)/;
/** mergekit's names, and others in use, for modules that it finds by tables. */
const ALIASES: Readonly<Record<string, Kind | 'projector'>> = {
  text_decoder: 'text',
  text_model: 'text',
  language_model: 'text',
  llm: 'text',
  vision_tower: 'vision',
  vision_model: 'vision',
  vision_encoder: 'vision',
  visual: 'vision',
  audio_tower: 'audio',
  audio_model: 'audio',
  audio_encoder: 'audio',
  multi_modal_projector: 'projector',
};

/** A model's modules, and which of them a tensor belongs to. */
export interface Modules {
  all: readonly Module[];
  /** Index into `all`; null where there is no stack at all. */
  of(name: string): number | null;
  /** Those that a recipe means, by name, last part of the name, or alias; empty: none. */
  find(name: string): readonly number[];
}

/** With several stacks, each is a module under the shortest prefix that tells it from the others; what lies beside them too. */
export function findModules(
  names: Iterable<string>,
  stacks: readonly Stack[],
  vocabulary: readonly VocabularyTensor[],
): Modules {
  const [only, ...others] = stacks;
  if (only === undefined) return { all: [], of: () => null, find: () => [] };
  if (others.length === 0) {
    const all = [{ name: WHOLE, stack: 0, kind: only.words.kind }];
    return { all, of: () => 0, find: (name) => (name === WHOLE || ALIASES[name] === 'text' ? [0] : []) };
  }
  const all: Module[] = stacks.map((stack, i) => ({
    name: distinctPath(stack, stacks),
    stack: i,
    kind: stack.words.kind,
  }));
  const unspoken = all.filter(({ kind }) => kind === null);
  // What a model reads beside images or sounds is text, and often not said.
  if (unspoken.length === 1 && unspoken[0] !== undefined && !all.some(({ kind }) => kind === 'text')) {
    unspoken[0].kind = 'text';
  }

  const index = new Map(all.map(({ name }, i) => [name, i]));
  const textModule = headModule(all, stacks);
  const attached = new Map<string, number>();
  for (const { name, role } of vocabulary) {
    const isOutside = !all.some((module) => isUnder(name, module.name));
    const isShared = role === 'embedding' && stacks.some(({ words }) => words.side === 'decoder');
    if (isOutside && !isShared && textModule !== null) attached.set(name, textModule);
  }
  const modules: Modules = {
    all,
    of: (name) => attached.get(name) ?? index.get(pathOf(name, stacks, all)) ?? null,
    find: (name) => {
      const matches = (test: (module: Module) => boolean) => all.flatMap((module, i) => (test(module) ? [i] : []));
      const exact = matches((module) => module.name === name);
      if (exact.length > 0) return exact;
      const last = matches((module) => module.name.endsWith(`.${name}`));
      if (last.length > 0) return last.length === 1 ? last : [];
      const alias = Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined;
      if (alias === undefined) return [];
      if (alias === 'projector') return matches((module) => module.stack === null && PROJECTOR.test(module.name));
      const ofKind = matches((module) => module.stack !== null && module.kind === alias);
      return ofKind.length === 1 ? ofKind : [];
    },
  };
  for (const name of names) {
    const path = pathOf(name, stacks, all);
    if (attached.has(name) || index.has(path)) continue;
    index.set(path, all.length);
    all.push({ name: path, stack: null, kind: readWords(path).kind });
  }
  return modules;
}

/** The module that heads and embeddings beside the stacks belong to: the decoder, else the only one that reads text. */
function headModule(modules: readonly Module[], stacks: readonly Stack[]): number | null {
  const decoders = stacks.flatMap(({ words }, i) => (words.side === 'decoder' ? [i] : []));
  if (decoders.length === 1) return decoders[0] ?? null;
  const text = modules.flatMap(({ kind }, i) => (kind === 'text' ? [i] : []));
  return text.length === 1 ? (text[0] ?? null) : null;
}

/** The shortest beginning of a stack's prefix that no other stack has. */
function distinctPath(stack: Stack, stacks: readonly Stack[]): string {
  const parts = stack.prefix.split('.');
  for (let length = 1; length < parts.length; length++) {
    const path = parts.slice(0, length).join('.');
    if (!stacks.some((other) => other !== stack && isUnder(other.prefix, path))) return path;
  }
  return stack.prefix;
}

/** The name of the module that a tensor is in, by its path. `modules` begins with those of the stacks. */
function pathOf(name: string, stacks: readonly Stack[], modules: readonly Module[]): string {
  const own = modules.slice(0, stacks.length).findIndex((module) => isUnder(name, module.name));
  const [module, stack] = [modules[own], stacks[own]];
  const parts = name.split('.');
  if (module !== undefined && stack !== undefined) {
    // A projector inside of a vision tower is what joins the two, and neither's layer.
    const depth = module.name.split('.').length;
    const at = isUnder(name, stack.prefix) ? -1 : parts.findIndex((part, i) => i >= depth && PROJECTOR.test(part));
    return at < 0 || at === parts.length - 1 ? module.name : parts.slice(0, at + 1).join('.');
  }
  let length = 1;
  const pathTo = () => parts.slice(0, length).join('.');
  while (length < parts.length && modules.slice(0, stacks.length).some((module) => isUnder(module.name, pathTo())))
    length++;
  return pathTo();
}
