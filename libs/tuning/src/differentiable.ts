import { type GivenType, gradients } from '@amalgam/autodiff';
import { extract, intAttribute, probeModel, shapesFrom } from '@amalgam/onnx';
import { mergedValue, type PreparedTask } from './prepare.js';
import type { Probe } from './step-units.js';

export interface DifferentiableOptions {
  batchSize: number;
  portable: boolean;
  probe: Probe;
}

/**
 * Differentiates the logits of a task's graph with respect to the merged tensors that it reads, and throws the result away.
 * What is refused in the step graph bears that one's names; here an error names the task's graph and its own node.
 *
 * Errors: those of `gradients`.
 */
export async function requireDifferentiable(
  { graph: whole, inputs, job, logits }: PreparedTask,
  { batchSize, portable, probe }: DifferentiableOptions,
): Promise<void> {
  const graph = extract(whole, [...whole.inputs.keys()], [logits]);
  const { tensors } = job.data!.description;
  const sizes = inputs.flatMap(({ name }) => {
    const tensor = tensors.find((candidate) => candidate.name === name);
    return graph.inputs.has(name) && tensor !== undefined ? [[name, [batchSize, ...tensor.shape.slice(1)]]] : [];
  });
  const shapes: Map<string, GivenType> = shapesFrom(graph, await probe(probeModel(graph, Object.fromEntries(sizes))));
  const of = graph.op('ReduceSum', [logits], [intAttribute('keepdims', 0)]);
  shapes.set(of, { type: shapes.get(logits)!.type, dims: [] });
  const wrt = [...graph.inputs.keys()].filter((name) => name.startsWith(mergedValue('')));
  gradients(graph, { of, wrt, shapes, portable });
}
