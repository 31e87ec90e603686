import { describe, expect, it } from 'vitest';
import { runExport, type TorchCase, torchCases } from './support/pytorch.js';

const exported = [...torchCases().values()].flatMap((test) => [...test.exports.keys()].map((file) => ({ test, file })));

/** What has no gradient, by case or export: operator and rule. */
const REFUSED: Readonly<Record<string, [opType: string, rule: string]>> = {
  lstm: ['LSTM', 'there is no gradient for this operator'],
  gru: ['GRU', 'there is no gradient for this operator'],
  'rnn.legacy.onnx': ['RNN', 'there is no gradient for this operator'],
  'embedding-bag': ['Loop', 'is control flow'],
  'tile.legacy.onnx': ['If', 'is control flow'],
  'diagonal.legacy.onnx': ['If', 'is control flow'],
};

/** What has none in standard operators that every execution provider has. */
const NOT_PORTABLE: Readonly<Record<string, [opType: string, rule: string]>> = {
  conv3d: ['Conv', 'ConvTranspose over three axes is missing in an execution provider'],
  'avg-pool3d': ['AveragePool', 'ConvTranspose over three axes is missing in an execution provider'],
  'max-pool3d': ['MaxPool', 'ConvTranspose over three axes is missing in an execution provider'],
};

const of = <T>(table: Readonly<Record<string, T>>, { test, file }: { test: TorchCase; file: string }) =>
  table[file] ?? table[test.name];

const refused = exported.filter((one) => of(REFUSED, one) !== undefined);
const differentiated = exported.filter((one) => of(REFUSED, one) === undefined);
const notPortable = differentiated.filter((one) => of(NOT_PORTABLE, one) !== undefined);
const portable = differentiated.filter((one) => of(NOT_PORTABLE, one) === undefined);

/** By name, the largest difference relative to the largest entry, or to a hundredth of the largest of all. */
function errors(test: TorchCase, found: ReadonlyMap<string, number[]>): Map<string, number> {
  const largest = (values: ArrayLike<number>) => Math.max(...Array.from(values, Math.abs));
  const overall = Math.max(...[...test.gradients.values()].map(largest));
  return new Map(
    [...found].map(([name, values]) => {
      const expected = test.gradients.get(name)!;
      const scale = Math.max(largest(expected), 0.01 * overall);
      return [name, largest(values.map((value, i) => value - expected[i]!)) / scale];
    }),
  );
}

async function compare(test: TorchCase, file: string, options: { portable: boolean }): Promise<void> {
  const { loss, gradients } = await runExport(test, file, options.portable);
  expect(Math.abs(loss - test.loss)).toBeLessThan(1e-4 * Math.max(1, Math.abs(test.loss)));
  expect([...gradients.keys()].sort()).toEqual([...test.gradients.keys()].sort());
  expect([...errors(test, gradients)].filter(([, error]) => !(error < 1e-4))).toEqual([]);
}

describe('the gradient of what PyTorch exports is that of its autograd', () => {
  it.each(differentiated)('$file', ({ test, file }) => compare(test, file, { portable: false }));
});

describe('in operators that every provider has, it is the same', () => {
  it.each(portable)('$file', ({ test, file }) => compare(test, file, { portable: true }));
});

describe('what PyTorch exports and has no gradient here is refused', () => {
  it.each(refused)('$file', async (one) => {
    const [opType, rule] = of(REFUSED, one)!;
    await expect(runExport(one.test, one.file, false)).rejects.toMatchObject({
      code: 'unsupported_graph',
      detail: expect.stringMatching(`^${one.file}: .*\\(${opType}\\), opset \\d+: ${rule}`),
    });
  });

  it.each(notPortable)('$file, for every provider', async (one) => {
    const [opType, rule] = of(NOT_PORTABLE, one)!;
    await expect(runExport(one.test, one.file, true)).rejects.toMatchObject({
      code: 'unsupported_graph',
      detail: expect.stringMatching(`^${one.file}: .*\\(${opType}\\), opset \\d+: ${rule}`),
    });
  });
});
