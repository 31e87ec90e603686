import { mkdir, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AmalgamError, dtypeBytes, type FieldError, joinDetails, quote } from '@amalgam/contracts';
import { reducePairwise } from '@amalgam/kernels';
import { overTensors } from './gather.js';
import { squaresOf, type TensorStatistics } from './report.js';
import { type SessionOptions, withThreads } from './session.js';
import type { MergePlan } from './types.js';
import { BASE_BYTES, layOutVectors, type VectorDtype, type VectorPlace } from './vector-layout.js';

export interface TaskVectorOptions extends SessionOptions {
  /** Where the file goes; what is there already is replaced. */
  path: string;
  dtype: VectorDtype;
}

export interface StoredTaskVectors {
  path: string;
  bytes: number;
  dtype: VectorDtype;
  /**
   * In the order of `plan.merged`. `base`: offset of the base, float32 [elements]; `vectors`: offset of the task vectors,
   * [models, elements] of `dtype`. Both are multiples of 4096; numbers are little-endian, row-major, without gaps.
   */
  tensors: ({ name: string; shape: readonly number[]; elements: number } & VectorPlace)[];
  /** By model: smallest magnitude that the trim kept; null for settings that do not trim. */
  thresholds: number[] | null;
  /** By model: L2 norm of the whole task vector, before the trim. */
  norms: number[];
}

/**
 * Writes what a tuning maps into memory: base and task vectors of every merged tensor in one file. Task vectors are those that
 * executeMerge combines (float32 differences, trimmed and sign-resolved where the method does so), rounded once to `dtype`.
 * They stream through the plan's threads within its bound on memory; the bytes do not depend on threads or chunks.
 * Where it fails it leaves no file.
 *
 * @throws AmalgamError `duplicate_model` when a task vector is zero throughout, `invalid_checkpoint` when one is not finite,
 * `invalid_recipe` when one exceeds float16, `canceled`, `storage_full`, `checkpoint_changed`
 */
export async function writeTaskVectors(plan: MergePlan, options: TaskVectorOptions): Promise<StoredTaskVectors> {
  const { path, dtype } = options;
  const models = plan.recipe.models.length;
  if (plan.tuning === null)
    throw new AmalgamError('internal', `${plan.recipe.method} learns nothing from task vectors`);
  const { places, bytes } = layOutVectors(plan.merged, models, dtype);
  const outWidth = BASE_BYTES + models * dtypeBytes(dtype);
  const elements = plan.merged.reduce((sum, tensor) => sum + tensor.elements, 0);
  const bytesTotal = plan.tuning.bytesRead + elements * outWidth;

  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  try {
    return await withThreads(plan, options, { bytesTotal, outWidth, coefficients: null }, async (session) => {
      const file = await open(path, 'wx');
      try {
        await file.truncate(bytes);
      } finally {
        await file.close();
      }
      const bands = await session.findBands();
      const statistics = await overTensors(session.job, [...places.keys()], bands, session.run, (spans, spanBands) => ({
        kind: 'vectors',
        output: path,
        dtype,
        spans,
        bands: spanBands,
        places: spans.map((span) => places[span.tensor]!),
      }));
      session.reportProgress();
      return {
        path,
        bytes,
        dtype,
        tensors: plan.merged.map(({ name, shape, elements }, i) => ({ name, shape, elements, ...places[i]! })),
        thresholds: bands?.thresholds ?? null,
        norms: toNorms(plan, statistics),
      };
    });
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

/** Norms by model, where there is something to learn from all of them. */
function toNorms(plan: MergePlan, statistics: TensorStatistics[]): number[] {
  const squares = statistics.map(squaresOf);
  const norms = plan.recipe.models.map((_, model) => Math.sqrt(reducePairwise(squares.map((list) => list[model]!))));
  const reference = (model: number) => quote(plan.inputs[model + 1]!.reference);

  const broken = toErrors(norms, (norm, model) => {
    if (Number.isFinite(norm)) return undefined;
    const tensor = statistics[squares.findIndex((list) => !Number.isFinite(list[model]!))]!;
    return (
      `tensor ${quote(tensor.name)} of ${reference(model)} minus the base is not finite: ` +
      'one of the two has a NaN or infinity there, or they are further apart than float32 reaches'
    );
  });
  if (broken.length > 0) throw refusal('invalid_checkpoint', broken);

  const zero = toErrors(norms, (norm, model) =>
    norm === 0
      ? `${reference(model)} is identical to the base: its task vector is zero in every merged tensor`
      : undefined,
  );
  if (zero.length > 0) throw refusal('duplicate_model', zero);
  return norms;
}

function toErrors(norms: number[], judge: (norm: number, model: number) => string | undefined): FieldError[] {
  return norms.flatMap((norm, model) => {
    const detail = judge(norm, model);
    return detail === undefined ? [] : [{ pointer: `/models/${model}/model`, detail }];
  });
}

function refusal(code: 'invalid_checkpoint' | 'duplicate_model', errors: FieldError[]): AmalgamError {
  return new AmalgamError(code, joinDetails(errors.map(({ detail }) => detail)), { errors });
}
