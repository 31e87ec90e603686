import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { encodeModel, graphOf, probeModel, readModel, shapesFrom, tensorOf } from '../src/index.js';
import { info, node, session, smallModel, ZOO_MODELS, zooPath } from './helpers.js';

async function shapesOf(graph: ReturnType<typeof graphOf>, inputs: Record<string, number[]>) {
  const probe = await session(encodeModel(probeModel(graph, inputs)), 'basic');
  try {
    return shapesFrom(graph, probe.outputMetadata);
  } finally {
    await probe.release();
  }
}

describe('shapes', () => {
  it('of every value come from the runtime', async () => {
    expect(await shapesOf(graphOf(smallModel()), { x: [5, 2] })).toEqual(
      new Map(['y', 'xw', 'a'].map((name) => [name, { type: 'float32', dims: [5, 3] }])),
    );
  });

  it.each(ZOO_MODELS)('of the whole zoo model %s are found', async (file) => {
    const graph = graphOf(await readModel(zooPath(file)));
    const [input] = [...graph.inputs.values()];
    const dims = input!.type!.tensorType!.shape!.dim.map(({ dimValue }) => dimValue ?? 3);
    const shapes = await shapesOf(graph, { [input!.name!]: dims });
    const values = graph.nodes().flatMap(({ output }) => output.filter((name) => name !== ''));
    expect([...shapes.keys()].sort()).toEqual([...values].sort());
  });

  it('are refused when they depend on the data', async () => {
    const graph = graphOf(smallModel({ node: [node('NonZero', ['x'], ['y'])], output: [info('y', [], 'I64')] }), 'm');
    await expectError(
      () => shapesOf(graph, { x: [5, 2] }),
      'unsupported_graph',
      'the shape of "y" depends on the data',
    );
  });

  it('are refused for inputs that are left open, contradict the model or are not there', async () => {
    const graph = graphOf(smallModel(), 'm');
    await expectError(() => probeModel(graph, {}), 'invalid_graph', 'm: the shape of the input "x" is open');
    await expectError(
      () => probeModel(graph, { x: [5, 3] }),
      'invalid_graph',
      'the input "x" has shape [?,2], not [5, 3]',
    );
    await expectError(() => probeModel(graph, { x: [5] }), 'invalid_graph', 'not [5]');
    await expectError(() => probeModel(graph, { x: [5, 2], z: [] }), 'invalid_graph', 'there is no input "z"');
    const sequence = graphOf(smallModel({ input: [info('x', ['n', 2]), { name: 's', type: { sequenceType: {} } }] }));
    await expectError(() => probeModel(sequence, { x: [5, 2] }), 'invalid_graph', 'the input "s" is not a tensor');
  });

  it('of inputs with defaults stay as they are', () => {
    const model = smallModel({ input: [info('x', [4, 2]), info('w', [2, 3])] });
    model.graph!.initializer.push(tensorOf('unused', 'F32', [], [1]));
    const { graph } = probeModel(graphOf(model), {});
    expect(graph!.input).toEqual(model.graph!.input);
  });
});
