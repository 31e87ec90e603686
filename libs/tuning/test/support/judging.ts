import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type EffectiveCoefficients, executeMerge } from '@amalgam/engine';
import { encodeModel, type Graph, modelOf } from '@amalgam/onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { entropyOf } from '../../src/scoring.js';
import { evaluateMerge } from '../../src/tune.js';
import type { Tensors } from './small-merge.js';
import type { Merge } from './zoo.js';

/** Merges into a folder and evaluates the result. */
export async function mergeAndEvaluate(merge: Merge, folder: string, coefficients?: EffectiveCoefficients) {
  const outDir = join(folder, 'result');
  await mkdir(outDir);
  await executeMerge(merge.plan, {
    pathOf: merge.pathOf,
    outDir,
    digests: false,
    ...(coefficients !== undefined && { coefficients }),
  });
  return evaluate(merge, outDir);
}

export function evaluate({ plan, tasks, pathOf }: Merge, outDir: string) {
  const resultPathOf = (file: string) => join(outDir, file);
  return evaluateMerge(plan, { tasks, pathOf, resultPathOf, provider: 'cpu', threads: 1 });
}

/** A graph's logits for whole tensors, as the runtime gives them without this package. */
export async function logitsOf(graph: Graph, inputs: Tensors): Promise<Float32Array> {
  const session = await InferenceSession.create(encodeModel(modelOf(graph)), { intraOpNumThreads: 1 });
  const feeds = Object.entries(inputs).map(([name, { dtype = 'F32', shape, values }]) => [
    name,
    dtype === 'I64'
      ? new Tensor('int64', BigInt64Array.from(Array.from(values, BigInt)), shape)
      : new Tensor('float32', Float32Array.from(values), shape),
  ]);
  const { logits } = await session.run(Object.fromEntries(feeds));
  const values = Float32Array.from(logits!.data as Float32Array);
  await session.release();
  return values;
}

/** Entropy and accuracy over positions, those left out where `counts` says so; a label of -100 is none. */
export function judge(
  logits: Float32Array,
  classes: number,
  labels: ArrayLike<number>,
  counts: (position: number) => boolean = () => true,
): { entropy: number; accuracy: number } {
  let [entropy, counted, right, labelled] = [0, 0, 0, 0];
  for (let i = 0; i * classes < logits.length; i++) {
    if (!counts(i)) continue;
    const row = logits.subarray(i * classes, (i + 1) * classes);
    const found = entropyOf(row);
    entropy += found.entropy;
    counted++;
    if (labels[i] === -100) continue;
    labelled++;
    if (row.indexOf(Math.max(...row)) === labels[i]) right++;
  }
  return { entropy: entropy / counted, accuracy: right / labelled };
}
