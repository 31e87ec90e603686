import type { CheckpointDescription } from '@amalgam/tensors';
import { splitBlockName } from './block-names.js';
import { findModules, type Modules } from './modules.js';
import { findStacks, type Stack } from './stacks.js';
import { findVocabulary, tiedByConfig, type VocabularyTensor } from './vocabulary.js';

/** What the names and shapes of a checkpoint's tensors and its config.json say of how the model is built. */
export interface Architecture {
  /** The first name in the config's `architectures`, else its `model_type`; null where it says neither. */
  name: string | null;
  stacks: readonly Stack[];
  modules: Modules;
  /** Tensors outside of the stacks with a row for each token. */
  vocabulary: readonly VocabularyTensor[];
  /** Does the head share the embedding's weight? By config.json, else by whether a head is stored. */
  tied: boolean;
  /** The stack and the layer that a tensor belongs to; null outside of layers. */
  layerOf(name: string): { stack: number; index: number } | null;
}

/** Describes the model in a checkpoint; there is no table of architectures, and what nothing tells is not there. */
export function describeArchitecture({
  tensors,
  config,
}: Pick<CheckpointDescription, 'tensors' | 'config'>): Architecture {
  const stacks = findStacks(tensors.keys(), config);
  const byPrefix = new Map(stacks.map((stack, i) => [stack.prefix, i]));
  const inBlock = (name: string) => byPrefix.has(splitBlockName(name)?.prefix ?? '\0');
  const vocabulary = findVocabulary(
    [...tensors.values()].filter(({ name }) => !inBlock(name)),
    config,
  );
  return {
    name: nameOf(config),
    stacks,
    modules: findModules(tensors.keys(), stacks, vocabulary),
    vocabulary,
    tied: tiedByConfig(config) ?? !vocabulary.some(({ role }) => role === 'head'),
    layerOf: (name) => {
      const split = splitBlockName(name);
      const stack = split === null ? undefined : byPrefix.get(split.prefix);
      if (split === null || stack === undefined || split.index >= (stacks[stack]?.count ?? 0)) return null;
      return { stack, index: split.index };
    },
  };
}

function nameOf(config: CheckpointDescription['config']): string | null {
  const architectures: unknown = config?.['architectures'];
  const name: unknown = Array.isArray(architectures) ? architectures[0] : config?.['model_type'];
  return typeof name === 'string' ? name : null;
}
