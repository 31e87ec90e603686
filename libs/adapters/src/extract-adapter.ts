import { AmalgamError, type Dtype, isFloat, quoteList } from '@amalgam/contracts';
import { type CheckpointTensor, compileGlobs } from '@amalgam/tensors';
import { baseNameOf } from './base-name.js';
import { inOutEvidence } from './orientation.js';
import { adapterConfigOf, layOutAdapter } from './output.js';
import type {
  AdapterInput,
  AdapterPlan,
  AdapterPlanOptions,
  PlannedModule,
  PlannedWhole,
  RangeOptions,
} from './plan.js';
import { planMemory } from './work/memory.js';

export interface ExtractionSettings extends RangeOptions {
  /** Of every module, or the most that its matrix has. */
  rank: number;
  /** Globs on names of tensors. Nothing included: the matrices of numbered layers. */
  include: readonly string[];
  exclude: readonly string[];
  /** Globs on names of tensors that are taken along whole, as modules_to_save. */
  save: readonly string[];
  /** Of the factors written. */
  dtype: Dtype;
}

/** Modules that PEFT adapts as embeddings, by the last part of their names. */
const EMBEDDING = /(^|[._])(embed|embeds|embedding|embeddings|embed_tokens|embed_positions|embed_in|wte|wpe|shared)$/;

/**
 * Plans a LoRA that does nearly what a fine-tuned model does to its base, from the headers of both: for each matrix the nearest
 * product of a rank to model − base.
 *
 * @throws AmalgamError `invalid_recipe` when nothing is left to extract, `memory_limit`
 */
export function planExtraction(
  { base, model }: { base: AdapterInput; model: AdapterInput },
  settings: ExtractionSettings,
  options: AdapterPlanOptions = {},
): AdapterPlan {
  const saves = settings.save.length === 0 ? () => false : compileGlobs(settings.save);
  const selects = compileGlobs(settings.include, settings.exclude);
  const isDefault = settings.include.length === 0;
  const evidence = inOutEvidence(base.checkpoint.tensors);

  const modules: PlannedModule[] = [];
  const whole: PlannedWhole[] = [];
  const unfit: string[] = [];
  const left: string[] = [];
  for (const tensor of model.checkpoint.tensors.values()) {
    const { name, dtype, shape } = tensor;
    const original = base.checkpoint.tensors.get(name);
    if (saves(name)) {
      whole.push({ name, dtype, shape, input: 1, from: tensor });
    } else if (!isFloat(dtype)) {
      // Buffers of integers are the base's by nature.
    } else if (!selects(name) || (isDefault && !isLayerMatrix(tensor))) {
      left.push(name);
    } else if (original === undefined || !isExtractable(tensor, original)) {
      unfit.push(name);
    } else {
      modules.push(planModule(original, tensor, settings.rank, evidence));
    }
  }
  if (modules.length === 0) {
    const pointer = isDefault ? '/models/0/model' : '/merge/include';
    const detail = `"${model.reference}" has no matrix to extract: tensors of two dimensions whose names end with ".weight", as in the base`;
    throw new AmalgamError('invalid_recipe', detail, { errors: [{ pointer, detail }] });
  }
  const layout = layOutAdapter(modules, whole, settings.dtype);
  const range = { seed: settings.seed, powerIterations: settings.powerIterations, oversampling: settings.oversampling };
  const memory = planMemory(modules, range, options);
  const { name: baseModel, revision } = baseNameOf(base);
  return {
    inputs: [base, model],
    modules,
    whole,
    dtype: settings.dtype,
    layout,
    config: adapterConfigOf(modules, whole, {
      baseModel,
      revision,
      taskType: taskTypeOf(model),
      fanInFanOut: modules.some(({ embedding, work }) => !embedding && work.kind === 'extract' && work.transposed),
    }),
    range,
    bytesRead:
      modules.reduce((sum, module) => sum + bytesOf(module, range, memory.cacheBytes), 0) +
      sumBytes(whole.map(({ from }) => from)),
    ...memory,
    warnings: describeRest(unfit, left, model.reference),
  };
}

function isLayerMatrix({ name, shape }: CheckpointTensor): boolean {
  return shape.length === 2 && name.endsWith('.weight') && /(^|\.)\d+\./.test(name);
}

function isExtractable(tensor: CheckpointTensor, original: CheckpointTensor): boolean {
  const [rows, columns] = tensor.shape;
  return (
    tensor.shape.length === 2 &&
    tensor.elements > 0 &&
    tensor.name.endsWith('.weight') &&
    isFloat(original.dtype) &&
    original.shape.length === 2 &&
    original.shape[0] === rows &&
    original.shape[1] === columns
  );
}

function planModule(
  base: CheckpointTensor,
  model: CheckpointTensor,
  most: number,
  evidence: (name: string) => boolean | null,
): PlannedModule {
  const module = model.name.slice(0, -'.weight'.length);
  const embedding = EMBEDDING.test(module);
  const [rows = 1, columns = 1] = model.shape;
  const transposed = embedding || evidence(model.name) === true;
  const [inner, outer] = transposed ? [rows, columns] : [columns, rows];
  const rank = Math.min(most, rows, columns);
  const shapes = { aShape: [rank, inner], bShape: [outer, rank] };
  return { module, embedding, rank, inner, outer, ...shapes, work: { kind: 'extract', base, model, transposed } };
}

/** What is read of a module: once where it fits the cache, else with every multiplication. */
function bytesOf({ work }: PlannedModule, { powerIterations }: RangeOptions, cacheBytes: number): number {
  if (work.kind !== 'extract') return 0;
  const passes = 4 * work.model.elements <= cacheBytes ? 1 : 2 + 2 * powerIterations;
  return passes * sumBytes([work.base, work.model]);
}

function sumBytes(tensors: readonly CheckpointTensor[]): number {
  return tensors.reduce((sum, { bytes }) => sum + bytes, 0);
}

function describeRest(unfit: readonly string[], left: readonly string[], model: string): string[] {
  const warnings: string[] = [];
  if (unfit.length > 0) {
    warnings.push(
      `${unfit.length} of the selected tensors are no matrices ending with ".weight", or differ in shape from the base's, and are left out: ${quoteList(unfit)}`,
    );
  }
  if (left.length > 0) {
    warnings.push(`${left.length} tensors stay the base's, whatever "${model}" changed in them: ${quoteList(left)}`);
  }
  return warnings;
}

function taskTypeOf({ checkpoint }: AdapterInput): string | null {
  const architectures = checkpoint.config?.['architectures'];
  const [first] = Array.isArray(architectures) ? (architectures as unknown[]) : [];
  if (typeof first !== 'string') return null;
  if (first.endsWith('ForCausalLM') || first.endsWith('LMHeadModel')) return 'CAUSAL_LM';
  if (first.endsWith('ForSequenceClassification')) return 'SEQ_CLS';
  if (first.endsWith('ForTokenClassification')) return 'TOKEN_CLS';
  return null;
}
