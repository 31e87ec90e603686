import { type AttributeProto, Graph, intAttribute, intsAttribute, tensorOf } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { gradients } from '../src/index.js';
import { inputInfo } from './support/cases.js';
import { random, sizeOf } from './support/random.js';
import { type Feed, modelWith, Runner, typesOf } from './support/runtime.js';

const GRAPHS = 80;
const NODES = 12;

/** A random graph while it grows. All its operators are smooth, so that differences approach the gradient. */
class Growth {
  readonly graph = new Graph('fuzz');
  readonly feeds: Record<string, Feed> = {};
  readonly values: { name: string; dims: number[] }[] = [];
  readonly draw: () => number;

  constructor(seed: number) {
    this.draw = random(seed);
    this.graph.setOpset('', this.pick([16, 17, 18, 20]));
    for (let i = 0; i < 2; i++) this.variable(this.pick([[2, 3], [3], [2, 2, 3], [1, 3]]));
  }

  pick<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.draw() * choices.length)]!;
  }

  /** A weight with respect to which the graph is differentiated. */
  variable(dims: readonly number[]): string {
    const name = this.graph.freshName('w');
    this.graph.addInput(inputInfo(name, 'F64', dims));
    const values = Array.from({ length: sizeOf(dims) }, () => 2 * this.draw() - 1);
    this.feeds[name] = { dtype: 'F64', dims, values };
    this.values.push({ name, dims: [...dims] });
    return name;
  }

  ints(...values: number[]): string {
    return this.graph.constant(tensorOf('ints', 'I64', [values.length], values));
  }

  add(opType: string, inputs: string[], dims: number[], attributes: AttributeProto[] = []): string {
    const name = this.graph.op(opType, inputs, attributes);
    this.values.push({ name, dims });
    return name;
  }

  grow(): void {
    const { name, dims } = this.pick(this.values);
    const axis = Math.floor(this.draw() * dims.length);
    const width = dims.at(-1)!;
    const size = dims[axis] ?? 1;
    const along = intAttribute('axis', this.draw() < 0.5 ? axis : axis - dims.length);
    const isSmall = sizeOf(dims) <= 24;
    const choices: (() => unknown)[] = [
      () => this.add(this.pick(['Tanh', 'Sigmoid', 'Neg', 'Sin', 'Cos', 'Identity']), [name], dims),
      () => this.#broadcast(name, dims),
      () => this.#broadcast(name, dims),
      () => this.add('Mul', [name, name], dims),
    ];
    if (dims.length > 0) {
      const reduced = (keep: boolean) => (keep ? dims.with(axis, 1) : dims.filter((_, i) => i !== axis));
      choices.push(
        () => this.add('MatMul', [name, this.variable([width, 2])], [...dims.slice(0, -1), 2]),
        () => this.add(this.pick(['Softmax', 'LogSoftmax']), [name], dims, [along]),
        () => {
          const keep = this.draw() < 0.5;
          const attributes = [intAttribute('keepdims', keep ? 1 : 0)];
          const opType = this.pick(['ReduceSum', 'ReduceMean', 'ReduceLogSumExp', 'ReduceSumSquare']);
          if (opType === 'ReduceSum' || this.graph.opset()! >= 18) {
            return this.add(opType, [name, this.ints(axis)], reduced(keep), attributes);
          }
          return this.add(opType, [name], reduced(keep), [...attributes, intsAttribute('axes', [axis])]);
        },
        () => this.add('Slice', [name, this.ints(size - 1), this.ints(-100), this.ints(axis), this.ints(-1)], dims),
        () =>
          this.add(
            'Slice',
            [name, this.ints(0), this.ints(100), this.ints(axis), this.ints(2)],
            dims.with(axis, Math.ceil(size / 2)),
          ),
        () => this.add('Gather', [name, this.ints(0, -1, 0)], dims.with(axis, 3), [along]),
        () => this.add('Reshape', [name, this.ints(-1)], [sizeOf(dims)]),
        () => this.add('Unsqueeze', [name, this.ints(axis)], dims.toSpliced(axis, 0, 1)),
        () => this.add('Transpose', [name], dims.toReversed()),
        () => this.add('CumSum', [name, this.graph.constant(tensorOf('axis', 'I64', [], [axis]))], dims),
      );
      if (this.graph.opset()! >= 17) {
        choices.push(() =>
          this.add('LayerNormalization', [name, this.variable([width]), this.variable([width])], dims, []),
        );
      }
    }
    if (dims.length > 0 && isSmall) {
      choices.push(
        () => this.add('Concat', [name, name], dims.with(axis, 2 * size), [along]),
        () =>
          this.add(
            'Pad',
            [name, this.ints(...dims.map(() => 1), ...dims.map(() => 0))],
            dims.map((dim) => dim + 1),
          ),
        () => this.add('Expand', [name, this.ints(2, ...dims.map(() => 1))], [2, ...dims]),
        () =>
          this.add('Tile', [name, this.ints(...dims.map((_, i) => (i === axis ? 2 : 1)))], dims.with(axis, 2 * size)),
      );
    }
    if (dims.length >= 2) {
      const perm = [...dims.keys()].slice(0, -2).concat(dims.length - 1, dims.length - 2);
      choices.push(() => {
        const swapped = this.graph.op('Transpose', [name], [intsAttribute('perm', perm)]);
        return this.add('MatMul', [name, swapped], [...dims.slice(0, -1), dims.at(-2)!]);
      });
    }
    if (size >= 2) {
      choices.push(() => {
        const sizes = [1, size - 1];
        const inputs = [name, this.ints(...sizes)];
        const node = this.graph.addNode({ opType: 'Split', inputs, outputs: 2, attributes: [along] });
        node.output.forEach((output, i) => {
          this.values.push({ name: output, dims: dims.with(axis, sizes[i]!) });
        });
      });
    }
    this.pick(choices)();
    // What grows without bound has no use as a test.
    const last = this.values.at(-1)!;
    if (this.draw() < 0.4) this.add('Tanh', [last.name], last.dims);
  }

  #broadcast(name: string, dims: number[]): void {
    const other = dims.map((dim) => (this.draw() < 0.3 ? 1 : dim)).slice(this.draw() < 0.3 ? 1 : 0);
    const operands = [name, this.variable(other)];
    const swapped = this.draw() < 0.5 ? operands : operands.reverse();
    this.add(this.pick(['Add', 'Sub', 'Mul']), swapped, dims);
  }

  /** The sum of the mean squares of a few values, the last among them. */
  finish(): string {
    const means = [this.values.at(-1)!, this.pick(this.values), this.pick(this.values)].map(({ name }) => {
      const calm = this.graph.op('Tanh', [name]);
      return this.graph.op('ReduceMean', [this.graph.op('Mul', [calm, calm])], [intAttribute('keepdims', 0)]);
    });
    return this.graph.op('Sum', means);
  }
}

describe('random graphs', () => {
  it.each(Array.from({ length: GRAPHS }, (_, i) => i + 1))(
    'seed %i: the derivative in a random direction',
    async (seed) => {
      const growth = new Growth(seed);
      for (let i = 0; i < NODES; i++) growth.grow();
      const loss = growth.finish();
      const { graph, feeds, draw } = growth;
      const forward = await Runner.load(modelWith(graph, [loss]), 'disabled');
      const names = Object.keys(feeds);
      const direction = names.map((name) => Array.from(feeds[name]!.values, () => 2 * draw() - 1));
      const at = async (step: number) => {
        const moved = names.map((name, i): [string, Feed] => {
          const feed = feeds[name]!;
          return [name, { ...feed, values: Array.from(feed.values, (value, j) => value + step * direction[i]![j]!) }];
        });
        return (await forward.run(Object.fromEntries(moved)))[loss]!.values[0]!;
      };
      const slope = async (h: number) => ((await at(h)) - (await at(-h))) / (2 * h);
      const expected = (4 * (await slope(1e-3)) - (await slope(2e-3))) / 3;
      await forward.release();

      const shapes = await typesOf(graph, {});
      const { gradients: named } = gradients(graph, { of: loss, wrt: names, shapes, portable: seed % 2 === 0 });
      const runner = await Runner.load(modelWith(graph, [...named.values()]));
      const results = await runner.run(feeds);
      await runner.release();
      let found = 0;
      let scale = 0;
      names.forEach((name, i) => {
        results[named.get(name)!]!.values.forEach((gradient, j) => {
          found += gradient * direction[i]![j]!;
          scale += Math.abs(gradient * direction[i]![j]!);
        });
      });
      // Relative to the terms of the sum: these may cancel.
      expect(Math.abs(found - expected)).toBeLessThan(1e-6 * (scale + 1e-3));
    },
  );
});
