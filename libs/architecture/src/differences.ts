import { quote } from '@amalgam/contracts';
import type { JsonObject } from '@amalgam/tensors';
import type { Inputs } from './inputs.js';
import { isObject } from './layer-counts.js';

/** What no shape shows, and what makes weights of one model mean something else in another. */
const TELLING =
  /^(model_type|num_attention_heads|n_head|num_heads|num_key_value_heads|head_dim|rope_theta|rope_scaling|rope_parameters|partial_rotary_factor|position_embedding_type|hidden_act|hidden_activation|activation_function|rms_norm_eps|layer_norm_eps(ilon)?|use_bidirectional_attention)$/;
const LONGEST_VALUE = 80;

/** Warnings of models whose config.json says otherwise than the donor's, by keys that both have. */
export function tellDifferences({ models, donor }: Inputs): string[] {
  const told = new Set<string>();
  return models.flatMap((model) => {
    if (model.config === donor.config || told.has(model.reference)) return [];
    told.add(model.reference);
    const found = differences(donor.config, model.config, '');
    if (found.length === 0) return [];
    return [
      `config.json of ${quote(model.reference)} differs from that of ${quote(donor.reference)}: ${found.join('; ')}`,
    ];
  });
}

/** Warnings of models that have more blocks than the donor, in its stacks of the given indices. */
export function tellBlocksLeft({ models, donor }: Inputs, stacks: readonly number[]): string[] {
  return stacks.flatMap((index) => {
    const own = donor.architecture.stacks[index];
    if (own === undefined) return [];
    return models.flatMap(({ reference, architecture }) => {
      const { count } = architecture.stacks.find(({ prefix }) => prefix === own.prefix) ?? own;
      if (count <= own.count) return [];
      const whose = `${quote(reference)} has ${count} blocks ${quote(own.prefix)}, ${quote(donor.reference)} ${own.count}`;
      return [`${whose}: of the former the first ${own.count} are merged; slices choose others`];
    });
  });
}

function differences(ours: JsonObject | null, theirs: JsonObject | null, path: string): string[] {
  if (ours === null || theirs === null) return [];
  return Object.entries(ours).flatMap(([key, value]) => {
    const other = Object.hasOwn(theirs, key) ? theirs[key] : undefined;
    if (value === null || value === undefined || other === null || other === undefined) return [];
    if (isObject(value) && isObject(other) && !TELLING.test(key)) return differences(value, other, `${path}${key}.`);
    const isSame = JSON.stringify(sorted(value)) === JSON.stringify(sorted(other));
    return TELLING.test(key) && !isSame ? [`${path}${key} ${show(other)}, not ${show(value)}`] : [];
  });
}

/** Objects by key: libraries write them in any order. */
function sorted(value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
}
