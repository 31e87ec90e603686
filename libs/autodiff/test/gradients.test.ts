import { intAttribute, type NodeProto } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { differentiable, gradients } from '../src/index.js';
import { modelWith, Runner, typesOf } from './support/runtime.js';
import { Small } from './support/small.js';

async function evaluate(small: Small, request: { of: string; wrt: string[] }, feeds: Record<string, number[]>) {
  const shapes = await typesOf(small.graph);
  const found = gradients(small.graph, { ...request, shapes });
  const runner = await Runner.load(modelWith(small.graph, [...found.gradients.values()]));
  const results = await runner.run(
    Object.fromEntries(
      Object.entries(feeds).map(([name, values]) => [name, { dtype: 'F32', dims: [values.length], values }]),
    ),
  );
  await runner.release();
  const values = request.wrt.map((name) => results[found.gradients.get(name)!]!.values);
  return { ...found, values };
}

const made = (small: Small): NodeProto[] => small.graph.nodes().filter(({ name }) => name?.startsWith('grad'));

describe('gradients', () => {
  it('of several uses are added', async () => {
    const small = new Small();
    const x = small.input('x', [3]);
    const of = small.loss(small.node('Add', [small.node('Mul', [x, x])[0]!, x])[0]!);
    expect((await evaluate(small, { of, wrt: [x] }, { x: [1, 2, -3] })).values).toEqual([[3, 5, -5]]);
  });

  it('of values that the loss does not depend on are zeros', async () => {
    const small = new Small();
    const [x, z] = [small.input('x', [2]), small.input('z', [3])];
    const steps = small.node('Floor', [small.node('Slice', [z, small.ints('0', 0), small.ints('2', 2)])[0]!])[0]!;
    const of = small.loss(small.node('Mul', [x, steps])[0]!);
    const { values, independent } = await evaluate(small, { of, wrt: [x, z] }, { x: [1, 2], z: [3.5, 4.5, 5] });
    expect(independent).toEqual(['z']);
    expect(values).toEqual([
      [3, 4],
      [0, 0, 0],
    ]);
  });

  it('of intermediate values are there beside those of what they were made from', async () => {
    const small = new Small();
    const x = small.input('x', [2]);
    const [y] = small.node('Mul', [x, x]);
    const of = small.loss(small.node('Mul', [y!, y!])[0]!);
    const { values } = await evaluate(small, { of, wrt: [x, y!, of] }, { x: [1, 2] });
    expect(values).toEqual([[4, 32], [2, 8], [1]]);
  });

  it('have a name each, even where they are equal', async () => {
    const small = new Small();
    const [x, z] = [small.input('x', [2]), small.input('z', [2])];
    const of = small.loss(small.node('Add', [x, z])[0]!);
    const { gradients: named, values } = await evaluate(small, { of, wrt: [x, z] }, { x: [1, 2], z: [3, 4] });
    expect(new Set(named.values()).size).toBe(2);
    expect(values).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });

  it('take nodes for what is asked only', async () => {
    const count = async (wrt: string[]) => {
      const small = new Small();
      small.input('x', [2, 2]);
      small.input('w', [2, 2]);
      small.input('v', [2, 2]);
      const [y] = small.node('MatMul', ['x', 'w']);
      const of = small.loss(small.node('MatMul', [y!, 'v'])[0]!);
      gradients(small.graph, { of, wrt, shapes: await typesOf(small.graph) });
      return made(small).filter(({ opType }) => opType === 'Gemm').length;
    };
    expect(await count(['v'])).toBe(1);
    expect(await count(['w'])).toBe(2);
    expect(await count(['x', 'w'])).toBe(3);
    expect(await count(['x', 'w', 'v'])).toBe(4);
  });

  it('leave the outputs of the graph as they were, those of lowered operators too', async () => {
    const small = new Small(20);
    const x = small.input('x', [2]);
    const [y] = small.node('Gelu', [x]);
    const [z] = small.node('Exp', [y!]);
    small.graph.rename(y!, 'y');
    small.graph.addOutput(z!);
    small.graph.addOutput('y');
    const of = small.loss(z!);
    gradients(small.graph, { of, wrt: [x], shapes: await typesOf(small.graph) });
    expect([...small.graph.outputs.keys()]).toEqual([z, 'y']);
    expect(small.graph.nodes().some(({ opType }) => opType === 'Gelu')).toBe(false);
    const runner = await Runner.load(modelWith(small.graph, ['y']));
    const { values } = (await runner.run({ x: { dtype: 'F32', dims: [2], values: [1, -1] } }))['y']!;
    await runner.release();
    expect(values[0]).toBeCloseTo(0.8413447, 6);
    expect(values[1]).toBeCloseTo(-0.1586553, 6);
  });

  it('leave composite operators that are not on the way', async () => {
    const small = new Small(20);
    const [x, z] = [small.input('x', [2]), small.input('z', [2])];
    const of = small.loss(small.node('Mul', [x, small.node('Gelu', [z])[0]!])[0]!);
    gradients(small.graph, { of, wrt: [x], shapes: await typesOf(small.graph) });
    expect(small.graph.nodes().filter(({ opType }) => opType === 'Gelu')).toHaveLength(1);
  });

  it('are the same graph every time', async () => {
    const build = async () => {
      const small = new Small();
      const x = small.input('x', [2, 3]);
      const [y] = small.node(
        'LayerNormalization',
        [x, small.floats('w', [3], 1, 2, 3)],
        [2, 3],
        [intAttribute('axis', 1)],
      );
      const of = small.loss(small.node('Softmax', [y!])[0]!);
      gradients(small.graph, { of, wrt: [x, 'w'], shapes: await typesOf(small.graph) });
      return small.graph.nodes();
    };
    expect(await build()).toEqual(await build());
  });

  it('exist in half precision', async () => {
    const small = new Small(20);
    const x = small.input('x', [2, 4]);
    const w = small.floats('w', [4], 1, 2, 3, 4);
    const half = [x, w].map((value) => small.node('Cast', [value], [], [intAttribute('to', 10)])[0]!);
    const [normal] = small.node('LayerNormalization', half);
    const [y] = small.node('Gelu', [normal!]);
    const [wide] = small.node('Cast', [y!], [], [intAttribute('to', 1)]);
    const of = small.loss(small.node('Mul', [wide!, wide!])[0]!);
    const shapes = await typesOf(small.graph);
    const { gradients: named } = gradients(small.graph, { of, wrt: [x, 'w'], shapes });
    const runner = await Runner.load(modelWith(small.graph, [...named.values()]));
    const results = await runner.run({ x: { dtype: 'F32', dims: [2, 4], values: [1, 2, 3, 5, 4, 3, 1, 0] } });
    await runner.release();
    for (const name of named.values()) expect(results[name]!.values.every(Number.isFinite)).toBe(true);
  });

  it('know their operators', () => {
    expect(differentiable()).toContain('Conv');
    expect(differentiable()).toContain('Attention');
    expect(differentiable()).not.toContain('LSTM');
  });
});
