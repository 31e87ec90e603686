import type { ArrangedInput, ArrangedInputs } from './arrangement.js';
import { joinBlockName } from './block-names.js';
import { type Architecture, describeArchitecture } from './describe.js';
import { tiedByConfig, type VocabularyTensor } from './vocabulary.js';

/** An input whose names can be looked up by those of the donor. */
export interface Input {
  reference: string;
  /** Index into the recipe's models; null: the base. */
  model: number | null;
  tensors: ArrangedInput['checkpoint']['tensors'];
  config: ArrangedInput['checkpoint']['config'];
  architecture: Architecture;
  /** Does its embedding serve as its head? As its architecture says, or by what its family does where nothing is said. */
  tied: boolean;
}

export interface Inputs {
  base: Input | null;
  models: Input[];
  /** Whose names and config.json the result has: the base, or the first model. */
  donor: Input;
}

/** Describes all inputs; each checkpoint once. */
export function openInputs({ base, models }: ArrangedInputs): Inputs {
  const known = new Map<unknown, Architecture>();
  const open = ({ reference, checkpoint }: ArrangedInput, model: number | null): Input => {
    const { tensors, config } = checkpoint.kind === 'adapter' && base !== null ? base.checkpoint : checkpoint;
    const architecture = known.get(tensors) ?? describeArchitecture({ tensors, config });
    known.set(tensors, architecture);
    return { reference, model, tensors, config, architecture, tied: architecture.tied };
  };
  const openedBase = base === null ? null : open(base, null);
  const opened = models.map(open);
  const donor = openedBase ?? opened[0];
  if (donor === undefined) throw new TypeError('a merge has at least one input');
  for (const input of opened) input.tied ||= isTiedAs(input, donor);
  return { base: openedBase, models: opened, donor };
}

/** Families that tie by default do not say so; a head that one of them stores is a copy, if another stores none. */
function isTiedAs(input: Input, donor: Input): boolean {
  const family = donor.config?.['model_type'];
  const isSilent = tiedByConfig(input.config) === null && tiedByConfig(donor.config) === null;
  return isSilent && donor.architecture.tied && family !== undefined && input.config?.['model_type'] === family;
}

/** Buffers that libraries stored once and make anew today; a result does without one that not every input has. */
const BUFFER = /(^|\.)(rotary_emb\.(inv_freq|cos_cached|sin_cached)|masked_bias|position_ids|relative_position_index)$/;
const CAUSAL_MASK = /(^|\.)(attn|attention)\.bias$/;

export function isBuffer(name: string, shape: readonly number[]): boolean {
  return BUFFER.test(name) || (shape.length === 4 && CAUSAL_MASK.test(name));
}

/**
 * What the input calls a tensor that another calls `name`: the same; or the same but for a prefix such as GPT-2's `transformer.`, which
 * models without a head lack; or, for a head or embedding that it shares and stores once, the one that it stores. Null: it has none.
 */
export function lookUp(input: Input, name: string, other: Input): string | null {
  if (input === other || input.tensors.has(name)) return input.tensors.has(name) ? name : null;
  const moved = withOtherPrefix(input.architecture, name, other.architecture);
  if (moved !== null && input.tensors.has(moved)) return moved;
  return sharedWeight(
    input,
    other.architecture.vocabulary.find((tensor) => tensor.name === name),
  );
}

function withOtherPrefix(own: Architecture, name: string, other: Architecture): string | null {
  const [to, ...more] = own.stacks.map(({ prefix }) => prefix);
  const [from, ...others] = other.stacks.map(({ prefix }) => prefix);
  if (to === undefined || from === undefined || to === from || more.length + others.length > 0) return null;
  if (from.endsWith(`.${to}`)) {
    const extra = from.slice(0, from.length - to.length);
    return name.startsWith(extra) ? name.slice(extra.length) : null;
  }
  return to.endsWith(`.${from}`) ? to.slice(0, to.length - from.length) + name : null;
}

function sharedWeight(input: Input, wanted: VocabularyTensor | undefined): string | null {
  if (wanted === undefined) return null;
  const { vocabulary } = input.architecture;
  if (wanted.role === 'head' && !input.tied) return null;
  const role = wanted.role === 'head_bias' ? 'head_bias' : 'embedding';
  return vocabulary.find((tensor) => tensor.role === role)?.name ?? null;
}

/** Heads that the input stores and that are not its embedding. */
export function ownHeads({ architecture: { vocabulary }, tied }: Input): VocabularyTensor[] {
  return tied ? [] : vocabulary.filter(({ role }) => role === 'head');
}

/** The name of a tensor in a block of an input's stack. */
export function blockTensor(input: Input, stack: number, index: number, rest: string): string {
  return joinBlockName({ prefix: input.architecture.stacks[stack]?.prefix ?? '', index, rest });
}
