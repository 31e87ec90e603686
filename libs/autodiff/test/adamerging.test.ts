import { float32Of, type Graph, isFloatDtype, tensorInfo, tensorOf } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { gradients } from '../src/index.js';
import { modelWith, Runner, typesOf } from './support/runtime.js';
import { addEntropy, type ZooTensor, zooGraph, zooReference, zooTensors } from './support/zoo.js';

/** The tensor of the checkpoint that an initializer is, as it is or transposed. */
interface Binding {
  initializer: string;
  tensor: string;
  transposed: boolean;
}

const { tasks, merged_tensors: merged, reference } = zooReference();
const base = zooTensors('base.safetensors');
const models = tasks.map((task) => zooTensors(`${task}.safetensors`));

function transpose({ dims: [rows, columns], values }: ZooTensor): Float32Array {
  return values.map((_, i) => values[(i % rows!) * columns! + Math.floor(i / rows!)]!);
}

/** Exporters fold transposes into weights and rename them, so contents decide; among equal ones, the name. */
function bind(graph: Graph): Binding[] {
  return [...graph.initializers].flatMap(([initializer, tensor]): Binding[] => {
    const { dtype, elements } = tensorInfo(tensor);
    if (!isFloatDtype(dtype) || elements < 2) return [];
    const values = float32Of(tensor);
    const equal = (other: Float32Array) => other.length === values.length && other.every((v, i) => v === values[i]);
    const named = merged.filter((name) => initializer.endsWith(name));
    for (const name of [...named, ...merged]) {
      const candidate = base.get(name)!;
      if (named.length > 0 && !named.includes(name)) continue;
      if (equal(candidate.values)) return [{ initializer, tensor: name, transposed: false }];
      if (candidate.dims.length === 2 && equal(transpose(candidate)))
        return [{ initializer, tensor: name, transposed: true }];
    }
    return [];
  });
}

/** base + Σ λ (model - base), in float32 as PyTorch does it. */
function mergedTensor(name: string, lambda: number): ZooTensor {
  const { dims, values } = base.get(name)!;
  const result = Float32Array.from(values);
  for (const model of models) {
    const tuned = model.get(name)!.values;
    for (let i = 0; i < result.length; i++) result[i]! += lambda * Math.fround(tuned[i]! - values[i]!);
  }
  return { dims, values: result };
}

/** dL / dλ per tensor and model, L being the sum over tasks of the mean entropy of their first rows. */
async function firstGradient(
  folder: string,
  lambda: number,
  rows: number,
): Promise<{ table: number[][]; loss: number }> {
  const table = merged.map(() => models.map(() => 0));
  let total = 0;
  for (const task of tasks) {
    const graph = await zooGraph(`${folder}${task}.onnx`);
    const bindings = bind(graph);
    for (const { initializer, tensor, transposed } of bindings) {
      const weight = mergedTensor(tensor, lambda);
      const { dims } = graph.initializers.get(initializer)!;
      graph.setInitializer(tensorOf(initializer, 'F32', dims, transposed ? transpose(weight) : weight.values));
    }
    const { dims, values } = zooTensors(`${task}.unlabeled.safetensors`).get('pixel_values')!;
    const shape = [rows, ...dims.slice(1)];
    const size = shape.reduce((product, dim) => product * dim, 1);
    const loss = addEntropy(graph, 'logits');
    const shapes = await typesOf(graph, { pixel_values: shape });
    const wrt = bindings.map(({ initializer }) => initializer);
    const { gradients: named } = gradients(graph, { of: loss, wrt, shapes });
    const runner = await Runner.load(modelWith(graph, [loss, ...named.values()]));
    const results = await runner.run({ pixel_values: { dtype: 'F32', dims: shape, values: values.subarray(0, size) } });
    await runner.release();
    total += results[loss]!.values[0]!;
    for (const { initializer, tensor, transposed } of bindings) {
      const gradient = results[named.get(initializer)!]!.values;
      const original = base.get(tensor)!;
      models.forEach((model, k) => {
        const vector = {
          dims: original.dims,
          values: model.get(tensor)!.values.map((v, i) => v - original.values[i]!),
        };
        const along = transposed ? transpose(vector) : vector.values;
        table[merged.indexOf(tensor)]![k]! += gradient.reduce((sum, g, i) => sum + g * along[i]!, 0);
      });
    }
  }
  return { table, loss: total };
}

describe('the first gradient of AdaMerging, against PyTorch', () => {
  it.each(['', 'legacy/'])('of the graphs in zoo/vit6/%s', async (folder) => {
    const layers = reference['adamerging_layer']!;
    const whole = reference['adamerging_task']!;
    const { table, loss } = await firstGradient(folder, layers.init, layers.batch);
    expect(Math.abs(loss - layers.loss[0]!) / layers.loss[0]!).toBeLessThan(1e-5);

    const largest = Math.max(...layers.grad0.flat().map(Math.abs));
    const errors = table.flatMap((row, r) => row.map((value, k) => Math.abs(value - layers.grad0[r]![k]!)));
    expect(Math.max(...errors) / largest).toBeLessThan(1e-4);

    const sums = tasks.map((_, k) => table.reduce((sum, row) => sum + row[k]!, 0));
    const scale = Math.max(...whole.grad0[0]!.map(Math.abs));
    const off = sums.map((value, k) => Math.abs(value - whole.grad0[0]![k]!));
    expect(Math.max(...off) / scale).toBeLessThan(1e-4);
  });
});
