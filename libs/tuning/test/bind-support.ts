import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Dtype } from '@amalgam/contracts';
import { encodeModel, type Graph, graphOf, modelOf, readModel } from '@amalgam/onnx';
import { fromFloat32 } from '@amalgam/tensors';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { onTestFinished } from 'vitest';
import type { Bound } from '../src/bind.js';
import { referenceTensor } from '../src/bind-reference.js';
import type { StoredCheckpoint, StoredTensor } from '../src/stored.js';

export const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));
export const FIXTURES = fileURLToPath(new URL('fixtures/', import.meta.url));

/** A safetensors file as a checkpoint. */
export function checkpointFrom(path: string, name = path.slice(path.lastIndexOf('/') + 1)): StoredCheckpoint {
  const file = openSync(path, 'r');
  const prefix = Buffer.alloc(8);
  readSync(file, prefix, 0, 8, 0);
  const length = Number(prefix.readBigUInt64LE());
  const header = Buffer.alloc(length);
  readSync(file, header, 0, length, 8);
  closeSync(file);
  const entries = JSON.parse(header.toString()) as Record<
    string,
    { dtype: Dtype; shape: number[]; data_offsets: [number, number] }
  >;
  delete entries['__metadata__'];
  const tensors = Object.entries(entries).map(
    ([
      tensor,
      {
        dtype,
        shape,
        data_offsets: [begin],
      },
    ]): StoredTensor => {
      return { name: tensor, dtype, shape, path, begin: 8 + length + begin };
    },
  );
  return { name, tensors: Object.fromEntries(tensors.map((tensor) => [tensor.name, tensor])) };
}

export interface Numbers {
  dtype?: 'F32' | 'F64' | 'F16' | 'BF16';
  shape: number[];
  values: ArrayLike<number>;
}

/** A checkpoint of given numbers, in a file that lasts as long as the test. */
export function checkpointOf(name: string, tensors: Readonly<Record<string, Numbers>>): StoredCheckpoint {
  const folder = mkdtempSync(join(tmpdir(), 'bind-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, `${name}.bin`);
  const chunks: Uint8Array[] = [];
  let begin = 0;
  const stored: Record<string, StoredTensor> = {};
  for (const [tensor, { dtype = 'F32', shape, values }] of Object.entries(tensors)) {
    const bytes = bytesOf(dtype, values);
    stored[tensor] = { name: tensor, dtype, shape, path, begin };
    chunks.push(bytes);
    begin += bytes.length;
  }
  writeFileSync(path, Buffer.concat(chunks));
  return { name, tensors: stored };
}

function bytesOf(dtype: NonNullable<Numbers['dtype']>, values: ArrayLike<number>): Uint8Array {
  if (dtype === 'F64') return new Uint8Array(Float64Array.from(values).buffer);
  return fromFloat32(dtype, Float32Array.from(values));
}

export async function graphFrom(path: string): Promise<Graph> {
  return graphOf(await readModel(path), path.slice(path.lastIndexOf('/') + 1));
}

/** The first tensor of a safetensors file that has the name, as float32. */
export function readTensor(path: string, name: string): { dims: number[]; values: Float32Array } {
  const { shape, begin } = checkpointFrom(path).tensors[name]!;
  const elements = shape.reduce((product, size) => product * size, 1);
  const bytes = new Uint8Array(readFileSync(path).subarray(begin, begin + 4 * elements));
  return { dims: [...shape], values: new Float32Array(bytes.buffer) };
}

/** The first output of a graph, in float32. */
export async function run(
  graph: Graph,
  feeds: Readonly<Record<string, { dims: readonly number[]; values: Float32Array }>>,
): Promise<Float32Array> {
  const options = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 } as const;
  const session = await InferenceSession.create(encodeModel(modelOf(graph)), options);
  const tensors = Object.entries(feeds).map(([name, { dims, values }]) => [name, new Tensor('float32', values, dims)]);
  const results = await session.run(Object.fromEntries(tensors));
  const output = results[session.outputNames[0]!]!;
  const values = Float32Array.from(output.data as Float32Array);
  await session.release();
  return values;
}

/** The bound graph with all that is bound put in its place anew, from the checkpoints. */
export async function withReferences({ graph, bindings }: Bound): Promise<Graph> {
  const copy = graphOf(modelOf(graph), graph.name);
  for (const binding of bindings) copy.setInitializer(await referenceTensor(binding));
  return copy;
}
