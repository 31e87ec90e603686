import { encodeModel, type ModelProto, type NodeProto, tensorOf, type ValueInfoProto } from '@amalgam/onnx';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { endWithParent } from './end-with-parent.js';
import type { ProbeResult, ProbeTask } from './providers-probe.js';
import { sessionOptions } from './providers-session.js';

// A program: gets one ProbeTask, sends one ProbeResult, and is then ended.

const FLOAT = 1;
const IR_VERSION = 8;
const OPSET = 16;
/** Rows and columns of the model that is checked, and of the one whose time is taken, with its number of products. */
const SMALL = 64;
const LARGE = 1024;
const PRODUCTS = 2;
const RUNS = 2;

type Onnxruntime = { InferenceSession: { create: typeof InferenceSession.create }; Tensor: typeof Tensor };

endWithParent();
process.once('message', (task) => {
  void answer(task as ProbeTask).then((result) => process.send?.(result));
});

async function answer(task: ProbeTask): Promise<ProbeResult> {
  try {
    // Here and not above, so that a library that cannot be loaded is told like everything else.
    const onnxruntime: Onnxruntime = await import('onnxruntime-node');
    if (!(await computesExactly(onnxruntime, task))) {
      return { ok: false, why: 'its results are not those of float32 arithmetic' };
    }
    return { ok: true, ms: task.timed ? await fastestRun(onnxruntime, task) : 0 };
  } catch (error) {
    return { ok: false, why: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * Every sum here is a multiple of 2^-12 below 2^11, so float32 has it exactly in whatever order; with the 10 bits of
 * TF32 or half precision it is another one.
 */
async function computesExactly({ InferenceSession, Tensor }: Onnxruntime, task: ProbeTask): Promise<boolean> {
  const x = matrix(SMALL, (row, column) => 1 + ((row + column) % 7) / 4096);
  const w = matrix(SMALL, (row, column) => ((row * 3 + column) % 5) - 2);
  const b = Float32Array.from({ length: SMALL }, (_, column) => column % 3);
  const session = await InferenceSession.create(chain(SMALL, 1, w, b), options(task));
  const { z } = await session.run({ x: new Tensor('float32', x, [SMALL, SMALL]) });
  const exact = matrix(SMALL, (row, column) => {
    let sum = b[column] ?? 0;
    for (let k = 0; k < SMALL; k++) sum += (x[row * SMALL + k] ?? 0) * (w[k * SMALL + column] ?? 0);
    return sum;
  });
  const got = z?.data;
  return got instanceof Float32Array && got.length === exact.length && got.every((value, i) => value === exact[i]);
}

/** Milliseconds of the fastest run after the first one, copies to and from the device included. */
async function fastestRun({ InferenceSession, Tensor }: Onnxruntime, task: ProbeTask): Promise<number> {
  const w = matrix(LARGE, () => 1 / LARGE);
  const session = await InferenceSession.create(chain(LARGE, PRODUCTS, w, new Float32Array(LARGE)), options(task));
  const feeds = {
    x: new Tensor(
      'float32',
      matrix(LARGE, () => 1),
      [LARGE, LARGE],
    ),
  };
  await session.run(feeds);
  let fastest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < RUNS; i++) {
    const began = performance.now();
    await session.run(feeds);
    fastest = Math.min(fastest, performance.now() - began);
  }
  return fastest;
}

function options({ provider, threads }: ProbeTask): InferenceSession.SessionOptions {
  return sessionOptions(provider, { threads, strict: true });
}

/** z = x·w·w…·w + b with as many products; x, w, z are [size, size], b is [size]. */
function chain(size: number, products: number, w: Float32Array, b: Float32Array): Uint8Array {
  const node: NodeProto[] = Array.from({ length: products }, (_, i) =>
    operator('MatMul', [i === 0 ? 'x' : `y${i - 1}`, 'w'], `y${i}`),
  );
  node.push(operator('Add', [`y${products - 1}`, 'b'], 'z'));
  const initializer = [tensorOf('w', 'F32', [size, size], w), tensorOf('b', 'F32', [size], b)];
  const model: ModelProto = {
    irVersion: IR_VERSION,
    opsetImport: [{ version: OPSET }],
    graph: {
      name: 'probe',
      node,
      initializer,
      input: [value('x', [size, size])],
      output: [value('z', [size, size])],
      valueInfo: [],
    },
  };
  return encodeModel(model);
}

function operator(opType: string, input: string[], output: string): NodeProto {
  return { opType, input, output: [output], attribute: [] };
}

function value(name: string, dims: number[]): ValueInfoProto {
  return { name, type: { tensorType: { elemType: FLOAT, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } } };
}

function matrix(size: number, at: (row: number, column: number) => number): Float32Array {
  return Float32Array.from({ length: size * size }, (_, i) => at(Math.floor(i / size), i % size));
}
