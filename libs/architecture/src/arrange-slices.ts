import { type FieldProblem, quote } from '@amalgam/contracts';
import type { ArrangedTensor } from './arrangement.js';
import { isUnder, joinBlockName, splitBlockName } from './block-names.js';
import type { LayerOrigin } from './followed-config.js';
import { blockTensor, type Input, isBuffer, lookUp, ownHeads } from './inputs.js';
import { type ModuleKey, type OpenSlice, type SliceSource, stackOf } from './slice-sources.js';
import { warnOfSlices } from './slice-warnings.js';
import type { Stack } from './stacks.js';
import { readWords } from './words.js';

/** What a model computes before its first layer, by the words that such tensors' names hold. */
const BEFORE_LAYERS =
  /embed|wte|wpe|patch|position|pos_|cls_token|class_token|token_type|conv[12]\b|stem|pre_?la?ye?rno?rm|ln_pre|project|connector|merger/i;

interface SlicedModule {
  tensors: ArrangedTensor[];
  layers: LayerOrigin[];
}

/**
 * The tensors of a module made of slices, renumbered from 0. What comes before the layers is merged from the first slice's
 * sources, what comes after them from the last one's.
 */
export function arrangeSlices(
  donor: Input,
  stackIndex: number,
  module: ModuleKey,
  slices: readonly OpenSlice[],
  at: string,
  problems: FieldProblem[],
  warnings: string[],
): SlicedModule {
  const stack = donor.architecture.stacks[stackIndex];
  const [first] = slices;
  const last = slices.at(-1);
  if (stack === undefined || first === undefined || last === undefined) return { tensors: [], layers: [] };
  const total = slices.reduce((sum, { length }) => sum + length, 0);

  const tensors: ArrangedTensor[] = [];
  const add = (name: string, slice: OpenSlice, t: number, nameIn: (source: SliceSource) => string | null) => {
    const arranged = take(slice, name, module.key, t, nameIn);
    if ('missing' in arranged)
      problems.push(...arranged.missing.map((source) => lacks(source, name, slice, nameIn, at)));
    else tensors.push(arranged);
  };

  for (const [name, place] of outsideOfLayers(donor, stack, module, first, last)) {
    const slice = place.isBefore ? first : last;
    const block = splitBlockName(name);
    const inStack = block !== null && block.prefix === place.stack.prefix;
    // The blocks behind the layers move with the number of layers.
    const target = inStack
      ? joinBlockName({
          prefix: stack.prefix,
          index: place.isBefore ? 0 : total + block.index - place.stack.count,
          rest: block.rest,
        })
      : (donorName(donor, name, place.owner) ?? name);
    add(target, slice, 0, ({ input, stack: own }) => {
      if (!inStack) return lookUp(input, name, place.owner);
      const index = place.isBefore ? 0 : (input.architecture.stacks[own]?.count ?? 0) + block.index - place.stack.count;
      const there = blockTensor(input, own, index, block.rest);
      return input.tensors.has(there) ? there : null;
    });
  }

  let layer = 0;
  const layers: LayerOrigin[] = [];
  for (const slice of slices) {
    for (let i = 0; i < slice.length; i++, layer++) {
      const t = slice.length === 1 ? 1 : i / (slice.length - 1);
      for (const rest of namesInLayer(slice, i)) {
        add(joinBlockName({ prefix: stack.prefix, index: layer, rest }), slice, t, ({ input, stack: own, from }) => {
          const there = blockTensor(input, own, from + i, rest);
          return input.tensors.has(there) ? there : null;
        });
      }
      layers.push(originOf(slice.leading, i));
    }
  }
  warnings.push(...warnOfSlices(donor, stackIndex, slices));
  return { tensors, layers };
}

/** A tensor from a slice's sources, or those that lack it. */
function take(
  slice: OpenSlice,
  name: string,
  module: string | null,
  t: number,
  nameIn: (source: SliceSource) => string | null,
): ArrangedTensor | { missing: SliceSource[] } {
  const missing: SliceSource[] = [];
  const find = (source: SliceSource): string => {
    const found = nameIn(source);
    if (found === null) missing.push(source);
    return found ?? name;
  };
  const models = slice.models.map((source) => ({ model: source.input.model ?? 0, name: find(source) }));
  const base = slice.base === null ? null : { model: slice.base.input.model, name: find(slice.base) };
  if (missing.length > 0) return { missing };
  const sources = slice.models.map(({ index }) => index);
  return { name, base, models, slice: slice.index, module, sources, t };
}

function lacks(
  source: SliceSource,
  name: string,
  slice: OpenSlice,
  nameIn: (source: SliceSource) => string | null,
  at: string,
): FieldProblem {
  const having = [slice.base, ...slice.models].find((other) => other !== null && nameIn(other) !== null);
  const there = having ? ` that ${quote(having.input.reference)} has as ${quote(nameIn(having) ?? name)}` : '';
  return {
    code: 'tensor_missing',
    pointer: `${at}/${slice.index}/sources/${source.index}/model`,
    detail: `${quote(source.input.reference)} lacks the tensor for ${quote(name)}${there}`,
  };
}

/** Names inside of layer i of a slice, of all its sources; without buffers that not all have, and without what only block 0 has. */
function namesInLayer(slice: OpenSlice, i: number): string[] {
  const sources = slice.base === null ? slice.models : [slice.base, ...slice.models];
  const blocks = sources.map(
    ({ input, stack, from }) => input.architecture.stacks[stack]?.blocks[from + i] ?? new Set<string>(),
  );
  const names = new Set(blocks.flatMap((block) => [...block]));
  const firstOnly = (rest: string) =>
    sources.some(({ input, stack }) => input.architecture.stacks[stack]?.firstOnly.has(rest));
  return [...names].filter((rest) => {
    if (firstOnly(rest)) return false;
    if (blocks.every((block) => block.has(rest))) return true;
    const owner = sources.find((_, k) => blocks[k]?.has(rest));
    const tensor = owner?.input.tensors.get(blockTensor(owner.input, owner.stack, owner.from + i, rest));
    return !isBuffer(rest, tensor?.shape ?? []);
  });
}

interface OutsidePlace {
  isBefore: boolean;
  /** Whose name it is, and its stack. */
  owner: Input;
  stack: Stack;
}

/** Tensors of the module outside of layers: before them as the first slice's leading source has them, after them as the last one's. */
function outsideOfLayers(
  donor: Input,
  stack: Stack,
  module: ModuleKey,
  first: OpenSlice,
  last: OpenSlice,
): Map<string, OutsidePlace> {
  const found = new Map<string, OutsidePlace>();
  for (const [slice, before] of [
    [first, true],
    [last, false],
  ] as const) {
    const { input, stack: own } = slice.leading;
    const its = input.architecture.stacks[own] ?? stack;
    for (const { name, shape } of input.tensors.values()) {
      if (!isInModule(input, name, module, own)) continue;
      const isBefore = isBeforeLayers(input, name, its);
      if (isBefore !== before || isDroppedBuffer(slice, name, shape)) continue;
      found.set(name, { isBefore, owner: input, stack: its });
    }
  }
  // A head of its own in any of the last slice's sources, or in the donor, that the leading one has not.
  const { input: leading } = last.leading;
  for (const owner of [donor, ...last.models.map(({ input }) => input)]) {
    for (const { name } of ownHeads(owner)) {
      if (isInModule(owner, name, module, stackOf(owner, module)) && !hasHead(leading, name, owner)) {
        found.set(name, { isBefore: false, owner, stack });
      }
    }
  }
  return found;
}

function hasHead(input: Input, name: string, owner: Input): boolean {
  const found = lookUp(input, name, owner);
  return found !== null && isHead(input, found);
}

/** Outside of the layers of the module's stack, that is. */
function isInModule({ architecture }: Input, name: string, module: ModuleKey, stack: number | null): boolean {
  const layer = architecture.layerOf(name);
  if (layer !== null && !isFirstOnly(architecture.stacks[layer.stack], name)) return false;
  if (module.key === null || architecture.stacks.length === 1) return true;
  const index = architecture.modules.of(name);
  return index !== null && architecture.modules.all[index]?.stack === stack;
}

function isFirstOnly(stack: Stack | undefined, name: string): boolean {
  return stack?.firstOnly.has(splitBlockName(name)?.rest ?? '') ?? false;
}

function isBeforeLayers({ architecture }: Input, name: string, stack: Stack): boolean {
  const role = architecture.vocabulary.find((tensor) => tensor.name === name)?.role;
  if (role !== undefined) return role === 'embedding';
  if (isUnder(name, stack.prefix)) return isFirstOnly(stack, name);
  const { kind } = readWords(name);
  const readsOtherwise = kind !== null && kind !== 'text' && stack.words.kind !== kind;
  return readsOtherwise || BEFORE_LAYERS.test(name);
}

function isDroppedBuffer(slice: OpenSlice, name: string, shape: readonly number[]): boolean {
  if (!isBuffer(name, shape)) return false;
  return slice.models.some(({ input }) => lookUp(input, name, slice.leading.input) === null);
}

/** What the donor calls a tensor outside of layers of another input; null: it has none. */
function donorName(donor: Input, name: string, owner: Input): string | null {
  const found = lookUp(donor, name, owner);
  // A head goes by its own name, also where the donor's embedding serves for it.
  return found !== null && isHead(owner, name) && !isHead(donor, found) ? null : found;
}

function isHead({ architecture: { vocabulary } }: Input, name: string): boolean {
  return vocabulary.some((tensor) => tensor.name === name && tensor.role === 'head');
}

function originOf({ input, stack, from }: SliceSource, i: number): LayerOrigin {
  const own = input.architecture.stacks[stack];
  return { config: input.config, counts: own?.counts ?? [], count: own?.count ?? 0, index: from + i };
}
