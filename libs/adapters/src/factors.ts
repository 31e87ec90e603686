import { isFloat, quote, showShape } from '@amalgam/contracts';
import type { CheckpointDescription, CheckpointTensor } from '@amalgam/tensors';
import { type AdapterConfig, scaleOf } from './adapter-config.js';
import { parseAdapterName } from './adapter-names.js';
import type { Problem } from './problems.js';

/** Both factors of one module. */
export interface FactorPair {
  /** Without "base_model.model.". */
  module: string;
  a: CheckpointTensor;
  b: CheckpointTensor;
  embedding: boolean;
  rank: number;
  /** What the product is multiplied by. */
  scale: number;
}

export interface AdapterTensors {
  /** In order of their names. */
  pairs: FactorPair[];
  /** Tensors that were trained whole, by the name that they have in a model. */
  whole: Map<string, CheckpointTensor>;
  /** Of `whole`, those that were not: what an adapted embedding stood on, saved along with its factors. */
  copies: Set<string>;
}

/** Sorts an adapter's tensors by what they are; what is wrong with them goes to `problems`, and they are left out. */
export function collectFactors(
  adapter: Pick<CheckpointDescription, 'tensors'>,
  config: AdapterConfig,
  problems: Problem[],
): AdapterTensors {
  const report = (detail: string) => problems.push({ code: 'invalid_checkpoint', detail });
  const halves = new Map<string, { a?: CheckpointTensor; b?: CheckpointTensor; embedding: boolean }>();
  const whole = new Map<string, CheckpointTensor>();
  const adapters = new Set<string>();
  for (const tensor of adapter.tensors.values()) {
    const parsed = parseAdapterName(tensor.name);
    if (parsed.kind === 'unknown') {
      report(`${quote(tensor.name)} is ${parsed.reason}`);
    } else if (parsed.kind === 'whole') {
      const other = whole.get(parsed.name);
      if (other !== undefined) report(`${quote(tensor.name)} and ${quote(other.name)} are the same tensor of a model`);
      whole.set(parsed.name, tensor);
    } else if (parsed.kind === 'factor') {
      adapters.add(parsed.adapter);
      const half = halves.get(parsed.module) ?? { embedding: parsed.embedding };
      const slot = parsed.factor === 'A' ? 'a' : 'b';
      const other = half[slot];
      if (other !== undefined) report(`${quote(tensor.name)} and ${quote(other.name)} are for the same module`);
      else if (half.embedding !== parsed.embedding)
        report(`${quote(tensor.name)} has a factor of another kind beside it`);
      half[slot] = tensor;
      halves.set(parsed.module, half);
    }
  }
  if (adapters.size > 1) {
    report(`holds several adapters, ${[...adapters].map((name) => quote(name)).join(', ')}; keep one of them`);
  }
  const pairs: FactorPair[] = [];
  for (const [module, { a, b, embedding }] of halves) {
    if (a === undefined || b === undefined) {
      report(`${quote((a ?? b)?.name ?? '')} is there without its other factor ${a === undefined ? 'A' : 'B'}`);
      continue;
    }
    const pair = { module, a, b, embedding, ...scaleOf(config, module) };
    const wrong = checkPair(pair);
    if (wrong.length === 0) pairs.push(pair);
    problems.push(...wrong);
  }
  const copies = new Set(
    pairs.flatMap(({ module }) => {
      const own = whole.get(`${module}.weight`);
      return own?.name.endsWith('.base_layer.weight') ? [`${module}.weight`] : [];
    }),
  );
  return { pairs, whole, copies };
}

function checkPair({ a, b, rank }: FactorPair): Problem[] {
  const integers = [a, b].filter(({ dtype }) => !isFloat(dtype));
  const problems = integers.map(({ name, dtype }): Problem => {
    return { code: 'dtype_unsupported', detail: `${quote(name)} is ${dtype}, not floating point` };
  });
  const wrong = (detail: string) => problems.push({ code: 'invalid_checkpoint', detail });
  const [rankOfA] = a.shape;
  const rankOfB = b.shape[1];
  for (const { name, shape } of [a, b]) {
    if (shape.length < 2) wrong(`${quote(name)} has shape ${showShape(shape)}; a factor has two dimensions or more`);
  }
  if (rankOfA !== rankOfB) {
    wrong(`${quote(a.name)} has rank ${rankOfA}, ${quote(b.name)} has rank ${rankOfB}`);
  } else if (rankOfA !== rank) {
    wrong(`${quote(a.name)} has rank ${rankOfA}, but adapter_config.json gives ${rank} for it`);
  }
  return problems;
}
