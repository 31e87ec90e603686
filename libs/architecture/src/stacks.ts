import type { JsonObject } from '@amalgam/tensors';
import { splitBlockName } from './block-names.js';
import { type LayerCount, layerCounts } from './layer-counts.js';
import { affinity, readWords, type Words } from './words.js';

/** A run of numbered blocks that a model passes one after another. */
export interface Stack {
  /** What the names of its blocks begin with, without the dot before the number; may be empty. */
  prefix: string;
  /** Its layers: blocks 0 to count - 1. */
  count: number;
  /** Blocks stored behind the layers, which config.json does not count: DeepSeek's that predict further tokens. */
  trailing: number;
  /** Names inside of each block, trailing ones too. */
  blocks: readonly ReadonlySet<string>[];
  /** Names that only block 0 has, where all others are alike: T5 keeps its position biases there, for all blocks. */
  firstOnly: ReadonlySet<string>;
  words: Words;
  /** Where config.json says the count; the first one is nearest to the stack. */
  counts: LayerCount[];
}

/** More than any model has; beyond them, names were made to take time, and there are no stacks. */
const MOST_PREFIXES = 1000;
const MOST_STACKS = 64;
const LONGEST_PREFIX = 512;

interface Candidate {
  prefix: string;
  blocks: Set<string>[];
  words: Words;
}

/**
 * The stacks of blocks among a checkpoint's tensors, by prefix. Where config.json tells numbers of layers, a stack is
 * what one of them counts; numbered parts of other sizes (a vision tower's mergers, heads) are none. Without that, whatever has at
 * least two blocks of which half are alike.
 */
export function findStacks(names: Iterable<string>, config: JsonObject | null): Stack[] {
  const stacks = inferStacks(names, config);
  return stacks.length > MOST_STACKS ? [] : stacks;
}

function inferStacks(names: Iterable<string>, config: JsonObject | null): Stack[] {
  const candidates = findCandidates(names);
  if (candidates.length > MOST_PREFIXES) return [];
  const counts = layerCounts(config);
  const extra = trailingBlocks(config);
  const backed = candidates.flatMap(({ ...candidate }) => {
    for (const trailing of extra > 0 ? [0, extra] : [0]) {
      const fitting = fit(candidate, counts, candidate.blocks.length - trailing);
      if (fitting.length > 0) return [toStack(candidate, fitting, trailing)];
    }
    return [];
  });
  if (backed.length > 0) return shareCounts(backed);

  const alike = candidates.filter(isHomogeneous);
  const several = alike.filter(({ blocks }) => blocks.length > 1);
  const chosen = several.length > 0 ? several : alike.length === 1 ? alike : [];
  // A config that counts otherwise still has the key that a new count goes to.
  return shareCounts(
    chosen.map((candidate) => toStack(candidate, chosen.length === 1 ? fit(candidate, counts, null) : [], 0)),
  );
}

/** Prefixes whose numbers run from 0 without a gap and stand for modules, not for the layers of a small Sequential. */
function findCandidates(names: Iterable<string>): Candidate[] {
  const found = new Map<string, Map<number, Set<string>>>();
  for (const name of names) {
    const split = splitBlockName(name);
    if (split === null || split.prefix.length > LONGEST_PREFIX) continue;
    const blocks = found.get(split.prefix) ?? new Map<number, Set<string>>();
    found.set(split.prefix, blocks);
    const block = blocks.get(split.index);
    if (block === undefined) blocks.set(split.index, new Set([split.rest]));
    else block.add(split.rest);
  }
  return [...found].flatMap(([prefix, numbered]) => {
    const blocks = Array.from({ length: numbered.size }, (_, i) => numbered.get(i) ?? new Set<string>());
    const isRun = blocks.every((block) => block.size > 0);
    const isModule = isRun && blocks.some((block) => [...block].some((rest) => rest.includes('.')));
    return isModule ? [{ prefix, blocks, words: readWords(prefix) }] : [];
  });
}

function toStack({ prefix, blocks, words }: Candidate, counts: LayerCount[], trailing: number): Stack {
  const count = blocks.length - trailing;
  return { prefix, count, trailing, blocks, firstOnly: findFirstOnly(blocks.slice(0, count)), words, counts };
}

/** The counts that may be this stack's and have the value, best first; any value where it is null. */
function fit({ words }: Candidate, counts: readonly LayerCount[], value: number | null): LayerCount[] {
  return counts
    .filter((count) => value === null || count.value === value)
    .flatMap((count) => {
      const score = affinity(words, count.words);
      return score === null ? [] : [{ count, score }];
    })
    .sort((a, b) => b.score - a.score)
    .map(({ count }) => count);
}

/** T5 and its kin leave the decoder's count out where it is the encoder's; there it is under the second key when they differ. */
const ENCODER_COUNT = 'num_layers';
const DECODER_COUNT = 'num_decoder_layers';

/** Every stack keeps its own count and its copies, but none that is another's own; a count without a side is the encoder's. */
function shareCounts(stacks: Stack[]): Stack[] {
  const isOwn = (count: LayerCount, stack: Stack) => stack.counts[0] === count;
  const isEncoders = (count: LayerCount, stack: Stack) =>
    stack.words.side === 'decoder' &&
    count.words.side === null &&
    stacks.some(
      ({ words, counts }) =>
        words.side !== 'decoder' && counts.includes(count) && String(counts[0]?.path) === String(count.path),
    );
  return stacks.map((stack) => {
    const [own] = stack.counts;
    if (own?.key === ENCODER_COUNT && isEncoders(own, stack)) {
      const words = readWords([...own.path, DECODER_COUNT].join('.'));
      return { ...stack, counts: [{ ...own, key: DECODER_COUNT, words, implied: true }] };
    }
    const isAnothers = (count: LayerCount) =>
      isEncoders(count, stack) || stacks.some((other) => other !== stack && isOwn(count, other));
    return { ...stack, counts: stack.counts.filter((count) => isOwn(count, stack) || !isAnothers(count)) };
  });
}

function isHomogeneous({ blocks }: Candidate): boolean {
  const sorts = new Map<string, number>();
  for (const block of blocks) {
    const key = [...block].sort().join('\n');
    sorts.set(key, (sorts.get(key) ?? 0) + 1);
  }
  return 2 * Math.max(...sorts.values()) >= blocks.length;
}

function findFirstOnly(blocks: readonly ReadonlySet<string>[]): ReadonlySet<string> {
  const [first, second, ...others] = blocks;
  if (first === undefined || second === undefined) return new Set();
  const alike = others.every((block) => block.size === second.size && [...block].every((rest) => second.has(rest)));
  const holdsAll = [...second].every((rest) => first.has(rest));
  return new Set(alike && holdsAll ? [...first].filter((rest) => !second.has(rest)) : []);
}

function trailingBlocks(config: JsonObject | null): number {
  const value = config?.['num_nextn_predict_layers'];
  return Number.isInteger(value) && Number(value) > 0 ? Number(value) : 0;
}
