import { type Graph, intAttribute, intsAttribute, tensorOf } from '@amalgam/onnx';

/** Logits in a graph, and how their rows are batched. */
export interface LossRequest {
  graph: Graph;
  /** float32 [rows, classes] or [rows, positions, classes]. */
  logits: string;
  dims: readonly number[];
  /** float32 [rows, positions] of ones and zeros, the latter for positions that do not count; null: all do. */
  mask: string | null;
  /** Batches that the rows are made of, in order; each has its own mean. */
  batches: number;
  /** Only operators that every execution provider has. */
  portable: boolean;
}

/** Adds a task's loss to a graph and returns it: float32 [1], the sum over batches of each one's mean. */
export type Loss = (request: LossRequest) => string;

/** What coefficients can be learned by. */
export const LOSSES: Readonly<Record<'entropy', Loss>> = { entropy };

/**
 * Mean Shannon entropy (natural logarithm) of the softmax over the last axis: H = -Σ p log p, without an epsilon, since
 * log p comes from the logits (Yang et al., AdaMerging, ICLR 2024, section 3.2). For token models the mean is over positions
 * that count.
 */
function entropy({ graph, logits, dims, mask, batches, portable }: LossRequest): string {
  const log = logSoftmax(graph, logits, portable);
  const terms = graph.op('Mul', [graph.op('Exp', [log]), log]);
  const perPosition = sumLast(graph, terms);
  const rows = dims[0]! / batches;
  const counted = dims.slice(1, -1).reduce((product, size) => product * size, rows);
  const shape = graph.constant(tensorOf('batches', 'I64', [2], [batches, counted]));
  const table = graph.op('Reshape', [perPosition, shape]);
  let means: string;
  if (mask === null) {
    const count = graph.constant(tensorOf('positions', 'F32', [1], [counted]));
    means = graph.op('Div', [sumLast(graph, table), count]);
  } else {
    const weights = graph.op('Reshape', [mask, shape]);
    const total = sumLast(graph, graph.op('Mul', [table, weights]));
    means = graph.op('Div', [total, sumLast(graph, weights)]);
  }
  const sum = graph.op('ReduceSum', [means, graph.constant(tensorOf('axes', 'I64', [1], [0]))]);
  return graph.op('Neg', [sum]);
}

function logSoftmax(graph: Graph, logits: string, portable: boolean): string {
  if (!portable) return graph.op('LogSoftmax', [logits], [intAttribute('axis', -1)]);
  const largest = maxLast(graph, logits);
  const shifted = graph.op('Sub', [logits, largest]);
  return graph.op('Sub', [shifted, graph.op('Log', [sumLast(graph, graph.op('Exp', [shifted]), 1)])]);
}

/** The sum over the last axis, which goes unless it is kept. */
function sumLast(graph: Graph, value: string, keepdims = 0): string {
  const axes = graph.constant(tensorOf('last', 'I64', [1], [-1]));
  return graph.op('ReduceSum', [value, axes], [intAttribute('keepdims', keepdims)]);
}

/** ReduceMax takes its axes as an input from opset 18 on. */
function maxLast(graph: Graph, value: string): string {
  if ((graph.opset() ?? 0) >= 18) {
    return graph.op('ReduceMax', [value, graph.constant(tensorOf('last', 'I64', [1], [-1]))]);
  }
  return graph.op('ReduceMax', [value], [intsAttribute('axes', [-1])]);
}
