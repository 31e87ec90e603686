import { float32Of, type Graph, isFloatDtype, tensorInfo, tensorOf } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { gradients } from '../src/index.js';
import { random } from './support/random.js';
import { modelWith, Runner, typesOf } from './support/runtime.js';
import { zooGraph, zooTensors } from './support/zoo.js';

const ROWS = 4;

/** mean(logits²), a loss that every weight takes part in and whose gradient vanishes nowhere. */
function addLoss(graph: Graph): string {
  return graph.op('ReduceMean', [graph.op('Mul', ['logits', 'logits'])]);
}

function images(): { dtype: 'F32'; dims: number[]; values: Float32Array } {
  const { dims, values } = zooTensors('digits.unlabeled.safetensors').get('pixel_values')!;
  const size = dims.slice(1).reduce((total, dim) => total * dim, 1);
  return { dtype: 'F32', dims: [ROWS, ...dims.slice(1)], values: values.subarray(0, ROWS * size) };
}

describe('a vision transformer as PyTorch’s exporters write it', () => {
  it.each(['digits.onnx', 'legacy/digits.onnx'])(
    '%s: the gradient of all weights in a random direction',
    async (file) => {
      const graph = await zooGraph(file);
      const feed = { pixel_values: images() };
      const weights = [...graph.initializers.values()].filter((tensor) => {
        const { dtype, elements } = tensorInfo(tensor);
        return isFloatDtype(dtype) && elements > 1;
      });
      const wrt = weights.map(({ name }) => name!);
      const loss = addLoss(graph);
      const shapes = await typesOf(graph, { pixel_values: feed.pixel_values.dims });
      const { gradients: named, independent } = gradients(graph, { of: loss, wrt, shapes });
      expect(independent).toEqual([]);
      const runner = await Runner.load(modelWith(graph, [loss, ...named.values()]));
      const results = await runner.run(feed);
      await runner.release();

      // In proportion to each tensor, so that all of them count. Each step has the sign of its gradient: terms of
      // either sign would cancel down to the rounding of the logits. A wrong entry shows as a smaller slope.
      const draw = random(5);
      const direction = new Map(
        weights.map((tensor) => {
          const values = float32Of(tensor);
          const gradient = results[named.get(tensor.name!)!]!.values;
          const size = Math.sqrt(values.reduce((total, value) => total + value * value, 0) / values.length) || 0.02;
          return [tensor.name!, Float64Array.from(gradient, (g) => size * draw() * Math.sign(g))];
        }),
      );
      let expected = 0;
      for (const name of wrt) {
        const gradient = results[named.get(name)!]!.values;
        direction.get(name)!.forEach((step, i) => {
          expected += step * gradient[i]!;
        });
      }

      // The sum is made here in float64: what is left of rounding is that of the logits, about 1e-6 / h.
      const lossAt = async (step: number) => {
        const moved = await zooGraph(file);
        for (const tensor of weights) {
          const along = direction.get(tensor.name!)!;
          const values = float32Of(tensor).map((value, i) => value + step * along[i]!);
          moved.setInitializer(tensorOf(tensor.name!, 'F32', tensor.dims, values));
        }
        const forward = await Runner.load(modelWith(moved, ['logits']));
        const { values } = (await forward.run(feed))['logits']!;
        await forward.release();
        return values.reduce((total, value) => total + value * value, 0) / values.length;
      };
      const slope = async (h: number) => ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
      const found = (4 * (await slope(0.0005)) - (await slope(0.001))) / 3;
      expect(Math.abs(found - expected) / Math.abs(expected)).toBeLessThan(1e-4);
    },
  );
});
