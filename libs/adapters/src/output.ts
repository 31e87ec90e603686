import type { Dtype } from '@amalgam/contracts';
import { encodeHeader } from '@amalgam/tensors';

export const ADAPTER_FILE = 'adapter_model.safetensors';
export const ADAPTER_CONFIG_FILE = 'adapter_config.json';

/** One product of the adapter to be written. Shapes as PEFT stores them. */
export interface OutputModule {
  /** Without "base_model.model.". */
  module: string;
  embedding: boolean;
  rank: number;
  /** Entries of a row of A, and of a column of B. */
  inner: number;
  outer: number;
  aShape: readonly number[];
  bShape: readonly number[];
}

/** A tensor that is written whole (modules_to_save). */
export interface OutputWhole {
  /** As in a model. */
  name: string;
  dtype: Dtype;
  shape: readonly number[];
}

/** Where the bytes go: offsets in the file. */
export interface AdapterLayout {
  header: Uint8Array;
  bytes: number;
  modules: { a: number; b: number }[];
  whole: number[];
}

/** Lays out adapter_model.safetensors: factors in `dtype`, module after module, then what is whole. */
export function layOutAdapter(
  modules: readonly OutputModule[],
  whole: readonly OutputWhole[],
  dtype: Dtype,
): AdapterLayout {
  const factors = modules.flatMap(({ module, embedding, aShape, bShape }) => [
    { name: factorName(module, 'A', embedding), dtype, shape: aShape },
    { name: factorName(module, 'B', embedding), dtype, shape: bShape },
  ]);
  const saved = whole.map(({ name, ...rest }) => ({ name: `base_model.model.${name}`, ...rest }));
  const { header, begins, fileBytes } = encodeHeader([...factors, ...saved], { format: 'pt' });
  const at = (i: number) => begins[i] ?? fileBytes;
  return {
    header,
    bytes: fileBytes,
    modules: modules.map((_, i) => ({ a: at(2 * i), b: at(2 * i + 1) })),
    whole: whole.map((_, i) => at(factors.length + i)),
  };
}

function factorName(module: string, factor: 'A' | 'B', embedding: boolean): string {
  const path = `base_model.model.${module}`;
  return embedding ? `${path}.lora_embedding_${factor}` : `${path}.lora_${factor}.weight`;
}

export interface OutputConfig {
  baseModel: string | null;
  /** Of the base on the hub; null: none is meant. */
  revision: string | null;
  taskType: string | null;
  fanInFanOut: boolean;
}

/**
 * adapter_config.json for PEFT. Scales are in the factors, so alpha is the rank; ranks that are not the commonest are listed by
 * module, as are the modules themselves.
 */
export function adapterConfigOf(
  modules: readonly OutputModule[],
  whole: readonly OutputWhole[],
  { baseModel, revision, taskType, fanInFanOut }: OutputConfig,
): Record<string, unknown> {
  const rank = commonest(modules.map((module) => module.rank));
  const names = modules.map(({ module }) => module);
  const ends = new Set(names.flatMap((name) => tailsOf(name)));
  const others = modules.filter((module) => module.rank !== rank);
  // A name that another one ends with would stand for both.
  const pattern = Object.fromEntries(
    others.map(({ module, rank: own }) => [ends.has(module) ? `^${module}` : module, own]),
  );
  return {
    alpha_pattern: pattern,
    base_model_name_or_path: baseModel,
    bias: 'none',
    fan_in_fan_out: fanInFanOut,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: rank,
    lora_dropout: 0,
    modules_to_save:
      whole.length === 0 ? null : [...new Set(whole.map(({ name }) => name.slice(0, name.lastIndexOf('.'))))],
    peft_type: 'LORA',
    r: rank,
    rank_pattern: pattern,
    revision,
    target_modules: names,
    task_type: taskType,
    use_dora: false,
    use_rslora: false,
  };
}

/** What follows each dot of a name. */
function tailsOf(name: string): string[] {
  const parts = name.split('.');
  return parts.slice(1).map((_, i) => parts.slice(i + 1).join('.'));
}

function commonest(ranks: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const rank of ranks) counts.set(rank, (counts.get(rank) ?? 0) + 1);
  const [first] = [...counts].sort((a, b) => b[1] - a[1] || b[0] - a[0]);
  return first?.[0] ?? 1;
}
