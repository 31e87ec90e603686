import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeGraph, type OnnxDtype, readModel, type ValueSpec } from '@amalgam/onnx';
import { type DatasetDescription, type DatasetTensor, describeDataset, localFileFolder } from '@amalgam/tensors';
import { describe, expect, it } from 'vitest';
import { checkTask, type TaskCheckOptions } from '../src/index.js';

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));

type Shape = ValueSpec['shape'];
const value = (name: string, shape: Shape, dtype: OnnxDtype = 'F32'): ValueSpec => ({ name, dtype, shape });
const graph = (inputs: ValueSpec[], outputs: ValueSpec[] = [value('logits', ['batch', 10])]) => ({
  opset: 20,
  producer: 'test',
  inputs,
  outputs,
  nodes: 1,
  initializers: 0,
  parameters: 0,
  operators: { Identity: 1 },
});

const tensor = (name: string, shape: number[], dtype: DatasetTensor['dtype'] = 'F32'): DatasetTensor => ({
  name,
  dtype,
  shape,
  bytes: 0,
  begin: 0,
  compressed: null,
});
const dataset = (...tensors: DatasetTensor[]): DatasetDescription => ({
  file: 'd.npz',
  format: 'npz',
  bytes: 0,
  rows: tensors[0]?.shape[0] ?? 0,
  labelled: tensors.some(({ name }) => name === 'labels'),
  tensors,
});

const TASK = { name: 'digits', graph: 'graph_1', data: 'data_1' };
const TUNING: TaskCheckOptions = { pointer: '/tasks/2', batch: 16, labels: 'unused' };
const EVALUATION: TaskCheckOptions = { pointer: '/tasks/2', batch: null, labels: 'optional' };

type Graph = ReturnType<typeof graph>;
const check = (g: Graph, d: DatasetDescription, more: { logits?: string; mask?: string } = {}, options = TUNING) =>
  checkTask({ ...TASK, ...more }, g, d, options);
/** The one error that there must be, as `pointer: detail`. */
const only = ({ errors }: ReturnType<typeof checkTask>) => {
  expect(errors).toHaveLength(1);
  return errors.map(({ pointer, detail }) => `${pointer}: ${detail}`)[0];
};

const images = tensor('x', [32, 3, 8, 8]);
const input = value('x', ['batch', 3, 8, 8]);

describe('a task of the zoo', () => {
  it.each(['digits.onnx', 'legacy/digits.onnx'])('fits its graph, in tuning and evaluation: %s', async (file) => {
    const described = describeGraph(await readModel(join(ZOO, file)));
    const fits = { errors: [], logits: 'logits', mask: null, inputs: ['pixel_values'], fixedBatch: null, classes: 10 };
    for (const [data, options] of [
      ['digits.unlabeled', TUNING],
      ['digits.labeled', TUNING],
      ['digits.labeled', EVALUATION],
    ] as const) {
      const description = await describeDataset(localFileFolder(join(ZOO, `${data}.safetensors`)));
      expect(checkTask(TASK, described, description, options)).toEqual(fits);
    }
  });

  it('needs as many rows as a batch has', async () => {
    const described = describeGraph(await readModel(join(ZOO, 'digits.onnx')));
    const description = await describeDataset(localFileFolder(join(ZOO, 'digits.labeled.safetensors')));
    const options = { ...TUNING, batch: 257 };
    expect(checkTask(TASK, described, description, options).errors).toEqual([
      {
        pointer: '/tasks/2/data',
        detail: 'task "digits", dataset "digits.labeled.safetensors": has 256 rows, fewer than one batch of 257',
      },
    ]);
  });
});

describe('an input of the graph', () => {
  it('may be met among tensors that the graph does not know', () => {
    const { errors, inputs } = check(graph([input]), dataset(images, tensor('ids', [32], 'I64')));
    expect({ errors, inputs }).toEqual({ errors: [], inputs: ['x'] });
  });

  it('may have free dimensions with and without names, and no known rank', () => {
    const ids = tensor('ids', [32, 7], 'I64');
    for (const shape of [['batch', 'positions'], [null, null], ['n', 7], null] as Shape[]) {
      expect(check(graph([value('ids', shape, 'I64')]), dataset(ids)).errors).toEqual([]);
    }
  });

  const cases: [string, ValueSpec, DatasetTensor, string][] = [
    [
      'is not in the dataset',
      value('y', ['batch', 2]),
      images,
      'has no tensor "y", which the graph needs as F32 [batch, 2]; it has "x"',
    ],
    [
      'is wider',
      value('x', ['b', 2], 'I64'),
      tensor('x', [32, 2], 'I32'),
      'is I32 [32, 2], but the graph’s input is I64 [b, 2]: the dtypes',
    ],
    ['is bytes there', input, tensor('x', [32, 3, 8, 8], 'U8'), 'the dtypes must be the same, nothing is converted'],
    ['is half as precise there', input, tensor('x', [32, 3, 8, 8], 'F16'), 'nothing is converted'],
    ['has more dimensions there', value('x', ['b', 2]), images, 'the number of dimensions differs'],
    ['has another size there', value('x', ['b', 3, 8, 9]), images, 'dimension 3 is 8, not 9'],
  ];
  it.each(cases)('%s: refused', (_, wanted, has, part) => {
    const problem = only(check(graph([wanted]), dataset(has)));
    expect(problem).toContain('/tasks/2/data: task "digits", dataset "d.npz": ');
    expect(problem).toContain(part);
  });

  it('must agree with the others on dimensions of one name, other than the batch', () => {
    const both = graph([value('ids', ['n', 'positions'], 'I64'), value('mask', ['n', 'positions'], 'I64')]);
    expect(check(both, dataset(tensor('ids', [32, 7], 'I64'), tensor('mask', [32, 7], 'I64'))).errors).toEqual([]);
    const problem = only(check(both, dataset(tensor('ids', [32, 7], 'I64'), tensor('mask', [32, 8], 'I64'))));
    expect(problem).toContain('dimension "positions" is 8 here and 7 in tensor "ids"');
  });

  it('without a dimension for the batch is refused, and so is a graph without inputs', () => {
    expect(only(check(graph([value('x', [])]), dataset(images)))).toContain(
      '/tasks/2/graph: task "digits", graph "graph_1": input "x" has no dimensions, so none for the batch',
    );
    expect(only(check(graph([]), dataset(images)))).toContain('/tasks/2/graph: task "digits", graph "graph_1": has no');
  });

  it('is reported for each that is wrong', () => {
    const two = graph([value('a', ['b']), value('c', ['b'])]);
    expect(check(two, dataset(images)).errors.map(({ pointer }) => pointer)).toEqual([
      '/tasks/2/data',
      '/tasks/2/data',
    ]);
  });
});

describe('a batch size that the graph is fixed to', () => {
  const fixed = graph([value('x', [16, 3, 8, 8])]);

  it('may be that of the tuning', () => {
    expect(check(fixed, dataset(images))).toMatchObject({ errors: [], fixedBatch: 16 });
  });

  it('must be no other', () => {
    const problem = only(check(fixed, dataset(images), {}, { ...TUNING, batch: 8 }));
    expect(problem).toContain('/tasks/2/graph: ');
    expect(problem).toContain('input "x" has shape [16, 3, 8, 8]: it takes 16 rows at once, but batch_size is 8');
  });

  it('is told to the evaluation, which needs as many rows', () => {
    expect(check(fixed, dataset(images), {}, EVALUATION)).toMatchObject({ errors: [], fixedBatch: 16 });
    const few = dataset(tensor('x', [15, 3, 8, 8]));
    expect(only(check(fixed, few, {}, EVALUATION))).toContain('has 15 rows, fewer than one batch of 16');
  });

  it('must be the same for every input, and not 0', () => {
    const two = graph([value('x', [16, 3, 8, 8]), value('y', [4])]);
    const both = dataset(images, tensor('y', [32]));
    expect(only(check(two, both))).toContain(
      'input "x" has shape [16, 3, 8, 8], input "y" [4]: the batch size differs',
    );
    const none = graph([value('x', [0, 3, 8, 8])]);
    expect(only(check(none, dataset(images), {}, EVALUATION))).toContain('a batch of no rows');
  });
});

describe('the logits', () => {
  const outputs = [value('hidden', ['b', 64]), value('logits', ['b', 10])];

  it('are the output that is named, or the only one, or the one of that name', () => {
    const found = (given: ValueSpec[], logits?: string) =>
      check(graph([input], given), dataset(images), logits === undefined ? {} : { logits });
    expect(found(outputs)).toMatchObject({ errors: [], logits: 'logits', classes: 10 });
    expect(found(outputs, 'hidden')).toMatchObject({ errors: [], logits: 'hidden', classes: 64 });
    expect(found([value('out', ['b', 'classes'])])).toMatchObject({ errors: [], logits: 'out', classes: null });
  });

  it('may be of any floating-point dtype that has a softmax, and of unknown rank', () => {
    for (const dtype of ['F32', 'F16', 'BF16', 'F64'] as const) {
      expect(check(graph([input], [value('y', ['b', 2], dtype)]), dataset(images)).errors).toEqual([]);
    }
    expect(check(graph([input], [value('y', null)]), dataset(images)).errors).toEqual([]);
  });

  const cases: [string, ValueSpec[], string | undefined, string][] = [
    [
      'that are not there',
      outputs,
      'logit',
      '/tasks/2/logits: task "digits": the graph has no output "logit"; the outputs are "hidden", "logits"',
    ],
    [
      'that may be either',
      [value('a', null), value('b', null)],
      undefined,
      '/tasks/2/graph: task "digits", graph "graph_1": the outputs are "a", "b" and none is named "logits"',
    ],
    [
      'that are integers',
      [value('y', ['b', 2], 'I64')],
      undefined,
      '/tasks/2/graph: task "digits", graph "graph_1": output "y" is I64 [b, 2]; logits must be floating-point',
    ],
    [
      'of rank 1',
      [value('y', ['b'])],
      'y',
      '/tasks/2/logits: task "digits": output "y" is F32 [b]; logits must be [batch, classes]',
    ],
    [
      'of rank 4',
      [value('y', ['b', 2, 2, 2])],
      undefined,
      'logits must be [batch, classes] or [batch, positions, classes]',
    ],
    ['of one class', [value('y', ['b', 1])], undefined, 'there must be at least two classes'],
  ];
  it.each(cases)('%s are refused', (_, given, logits, part) => {
    expect(only(check(graph([input], given), dataset(images), logits === undefined ? {} : { logits }))).toContain(part);
  });
});

describe('a mask', () => {
  const ids = value('ids', ['b', 'n'], 'I64');
  const tokens = graph([ids], [value('logits', ['b', 'n', 50])]);
  const data = dataset(tensor('ids', [32, 7], 'I64'), tensor('keep', [32, 7], 'BOOL'));

  it('is a tensor of the dataset, or an input that is one', () => {
    expect(check(tokens, data, { mask: 'keep' })).toMatchObject({ errors: [], mask: 'keep', inputs: ['ids'] });
    expect(check(tokens, data, { mask: 'ids' })).toMatchObject({ errors: [], mask: 'ids' });
    expect(check(tokens, data)).toMatchObject({ errors: [], mask: null });
  });

  it('is refused where there is none, or of another shape', () => {
    expect(only(check(tokens, data, { mask: 'none' }))).toContain(
      '/tasks/2/mask: task "digits": there is no tensor "none" in the dataset; it has "ids", "keep"',
    );
    const flat = dataset(tensor('ids', [32, 7], 'I64'), tensor('keep', [32]));
    expect(only(check(tokens, flat, { mask: 'keep' }))).toContain(
      'tensor "keep" is F32 [32]; a mask must be [rows, positions]',
    );
    const fixed = graph([ids], [value('logits', ['b', 8, 50])]);
    expect(only(check(fixed, data, { mask: 'keep' }))).toContain('is BOOL [32, 7], but the logits have 8 positions');
  });

  it('is refused for logits without positions', () => {
    const problem = only(check(graph([ids]), data, { mask: 'keep' }));
    expect(problem).toContain(
      '/tasks/2/mask: task "digits": the logits "logits" are F32 [batch, 10]: without positions',
    );
  });

  it('that is an input which the dataset lacks is reported once', () => {
    const two = graph([ids, value('m', ['b', 'n'], 'I64')], [value('logits', ['b', 'n', 50])]);
    expect(only(check(two, data, { mask: 'm' }))).toContain('has no tensor "m", which the graph needs');
  });
});

describe('labels', () => {
  const tokens = graph([input], [value('logits', ['b', 7, 50])]);
  const labelled = (...shape: number[]) => dataset(images, tensor('labels', shape, 'I64'));

  it('are for each row, or for each position of token models', () => {
    expect(check(graph([input]), labelled(32), {}, EVALUATION).errors).toEqual([]);
    expect(check(tokens, labelled(32, 7), {}, EVALUATION).errors).toEqual([]);
    expect(only(check(graph([input]), labelled(32, 7), {}, EVALUATION))).toContain(
      '/tasks/2/data: task "digits", dataset "d.npz": tensor "labels" is I64 [32, 7]; with logits [batch, 10] labels must be [rows]',
    );
    expect(only(check(tokens, labelled(32), {}, EVALUATION))).toContain('labels must be [rows, positions]');
    expect(only(check(tokens, labelled(32, 6), {}, EVALUATION))).toContain('but the logits have 7 positions');
  });

  it('do not matter to tuning', () => {
    expect(check(tokens, labelled(32), {}, TUNING).errors).toEqual([]);
  });

  it('may be missing, and may be an input of the graph', () => {
    expect(check(graph([input]), dataset(images), {}, EVALUATION).errors).toEqual([]);
    const both = graph([input, value('labels', ['b'], 'I64')]);
    expect(check(both, labelled(32), {}, EVALUATION)).toMatchObject({ errors: [], inputs: ['x', 'labels'] });
  });

  it('are pointed to where the dataset is named', () => {
    const task = { ...TASK, evaluation: 'data_2' };
    const { errors } = checkTask(task, graph([input]), labelled(32, 7), EVALUATION);
    expect(errors.map(({ pointer }) => pointer)).toEqual(['/tasks/2/evaluation']);
    expect(checkTask(task, graph([value('y', null)]), labelled(32), TUNING).errors[0]?.pointer).toBe('/tasks/2/data');
  });
});
