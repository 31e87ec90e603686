import { encodeModel, Graph, modelOf } from '@amalgam/onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { LOSSES } from '../src/losses.js';
import { floatInfo } from '../src/prepare.js';
import { entropyOf } from '../src/scoring.js';
import { floats } from './support/numbers.js';

interface Case {
  dims: readonly number[];
  logits: Float32Array;
  mask?: Float32Array;
  batches: number;
}

/** The loss as the runtime computes it. */
async function run({ dims, logits, mask, batches }: Case, opset: number, portable: boolean): Promise<number[]> {
  const graph = new Graph('loss.onnx');
  graph.setOpset('', opset);
  graph.addInput(floatInfo('logits', dims));
  if (mask !== undefined) graph.addInput(floatInfo('mask', dims.slice(0, 2)));
  const request = { graph, logits: 'logits', dims, mask: mask === undefined ? null : 'mask', batches, portable };
  const loss = LOSSES.entropy(request);
  graph.addOutput({ name: loss });
  const session = await InferenceSession.create(encodeModel(modelOf(graph)), { intraOpNumThreads: 1 });
  const feeds: Record<string, Tensor> = { logits: new Tensor('float32', logits, dims) };
  if (mask !== undefined) feeds['mask'] = new Tensor('float32', mask, dims.slice(0, 2));
  const { data, dims: shape } = (await session.run(feeds))[loss]!;
  await session.release();
  expect(shape).toEqual([1]);
  return Array.from(data as Float32Array);
}

/** The sum over batches of the mean over their positions that count. */
function byHand({ dims, logits, mask, batches }: Case): number {
  const classes = dims.at(-1)!;
  const positions = logits.length / classes;
  let loss = 0;
  for (let batch = 0; batch < batches; batch++) {
    let [sum, count] = [0, 0];
    for (let i = (batch * positions) / batches; i < ((batch + 1) * positions) / batches; i++) {
      if (mask?.[i] === 0) continue;
      sum += entropyOf(logits.subarray(i * classes, (i + 1) * classes)).entropy;
      count++;
    }
    loss += sum / count;
  }
  return loss;
}

const MASK = Float32Array.from({ length: 20 }, (_, i) => (i % 3 === 1 || i === 12 ? 0 : 1));

const CASES: [string, Case][] = [
  ['[rows, classes]', { dims: [6, 5], logits: floats(1, 30, 4), batches: 1 }],
  ['[rows, classes] in three batches', { dims: [6, 5], logits: floats(2, 30, 4), batches: 3 }],
  ['[rows, positions, classes]', { dims: [4, 5, 3], logits: floats(3, 60, 4), batches: 1 }],
  ['[rows, positions, classes] in two batches', { dims: [4, 5, 3], logits: floats(4, 60, 4), batches: 2 }],
  ['with a mask', { dims: [4, 5, 3], logits: floats(5, 60, 4), mask: MASK, batches: 1 }],
  [
    'with a mask, whose batches count differently',
    { dims: [4, 5, 3], logits: floats(6, 60, 4), mask: MASK, batches: 2 },
  ],
  ['one row alone', { dims: [1, 2], logits: Float32Array.of(1, -1), batches: 1 }],
];

describe.each([
  [16, false],
  [17, false],
  [18, false],
  [16, true],
  [17, true],
  [18, true],
])('entropy in opset %i, portable: %s', (opset, portable) => {
  it.each(CASES)('%s', async (_, given) => {
    const [loss] = await run(given, opset, portable);
    expect(loss).toBeCloseTo(byHand(given), 5);
  });

  it('of logits up to 10 000 apart is finite', async () => {
    const logits = Float32Array.of(1e4, 0, -1e4, -1e4, -1e4, -1e4, 1e4, 1e4, -1e4);
    const [loss] = await run({ dims: [3, 3], logits, batches: 1 }, opset, portable);
    expect(loss).toBeCloseTo((0 + Math.log(3) + Math.log(2)) / 3, 6);
  });
});
