import { AmalgamError, quote, quoteList } from '@amalgam/contracts';
import { describeNode, type Graph, isFloatDtype, isStringTensor, type OnnxDtype, tensorInfo } from '@amalgam/onnx';
import { distinctValues, initializerValues, isBindable, type Origin } from './bind-contents.js';
import { renaming } from './bind-names.js';
import type { Use } from './bind-uses.js';
import type { StoredCheckpoint } from './stored.js';

/** Small unmatched vectors are constants of the model: mean and deviation of images, scales of Resize. */
const LARGEST_CONSTANT = 64;

const LISTED = 20;

/** How to export without folding; tried with PyTorch 2.15. */
export const UNFOLDED_EXPORT =
  'torch.onnx.export(..., dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)';

/**
 * Refuses a graph that has weights besides the bound ones: initializers of more than 64 elements, and smaller ones
 * whose name and shape a tensor has. Single numbers, and tensors of no more than two different values, such as
 * attention masks, are constants.
 *
 * Errors: `unbound_graph`, naming the first of them, and why each may be.
 */
export async function requireMatched(
  graph: Graph,
  bound: ReadonlySet<string>,
  checkpoints: Readonly<Record<Origin, StoredCheckpoint>>,
): Promise<void> {
  const lost: string[] = [];
  for (const [name, tensor] of graph.initializers) {
    if (bound.has(name) || isStringTensor(tensor) || !graph.isUsed(name)) continue;
    const { dtype, dims, elements } = tensorInfo(tensor);
    if (elements < 2 || !isFloatDtype(dtype)) continue;
    const namesake = findNamesake(checkpoints, name, dims);
    if (namesake === undefined) {
      if (elements <= LARGEST_CONSTANT) continue;
      if (isBindable(dtype) && distinctValues(await initializerValues(tensor)) <= 2) continue;
    }
    lost.push(`${describe(graph, name, dims)}: ${reason(graph, name, dtype, namesake)}`);
  }
  if (lost.length === 0) return;
  const more = lost.length > LISTED ? `; and ${lost.length - LISTED} more` : '';
  throw new AmalgamError(
    'unbound_graph',
    `${graph.name}: ${lost.length} of its weights match no tensor of ${checkpoints.base.name} or ` +
      `${checkpoints.model.name}: ${lost.slice(0, LISTED).join('; ')}${more}. Export in float32, float16 or bfloat16 ` +
      `from one of the two, with an open batch size, by ${UNFOLDED_EXPORT}; what the model computes once must be a saved buffer`,
  );
}

/** A refusal of what several tensors may be. */
export function refuseAmbiguous(
  graph: Graph,
  ambiguous: readonly { use: Use; candidates: readonly string[] }[],
): AmalgamError {
  const listed = ambiguous.slice(0, LISTED).map(({ use, candidates }) => {
    const at = use.node === null ? '' : ` (input ${use.slot} of ${describeNode(use.node)})`;
    return `${quote(use.initializer)}${at} may be any of ${quoteList(candidates)}`;
  });
  const more = ambiguous.length > LISTED ? `; and ${ambiguous.length - LISTED} more` : '';
  return new AmalgamError(
    'unbound_graph',
    `${graph.name}: tensors with the same numbers cannot be told apart, by name or by the modules of the nodes: ` +
      `${listed.join('; ')}${more}. Export the graph with the weights of a fine-tuned model, in which they differ, ` +
      'or with the parameters’ names',
  );
}

export function describe(graph: Graph, initializer: string, dims: readonly number[]): string {
  const [reader] = graph.consumers(initializer);
  const at = reader === undefined ? '' : `, read by ${describeNode(reader)}`;
  return `${quote(initializer)} [${dims.join(', ')}]${at}`;
}

/** A tensor of the initializer's name, but for a prefix, and of its shape. */
function findNamesake(
  { base, model }: Readonly<Record<Origin, StoredCheckpoint>>,
  name: string,
  dims: readonly number[],
): string | undefined {
  const fits = (checkpoint: StoredCheckpoint, tensor: string) => {
    const shape = Object.hasOwn(checkpoint.tensors, tensor) ? checkpoint.tensors[tensor]!.shape : undefined;
    return shape?.length === dims.length && shape.every((size, i) => size === dims[i]);
  };
  for (const checkpoint of [base, model]) {
    if (fits(checkpoint, name)) return name;
    const dotted = (tensor: string) => tensor.includes('.') && renaming(name, tensor) !== undefined;
    const found = Object.keys(checkpoint.tensors).find((tensor) => dotted(tensor) && fits(checkpoint, tensor));
    if (name.includes('.') && found !== undefined) return found;
  }
  return undefined;
}

/** What may have happened to a weight. */
function reason(graph: Graph, name: string, dtype: OnnxDtype, namesake: string | undefined): string {
  if (!isBindable(dtype)) return `${dtype} weights cannot be bound`;
  if (namesake === undefined) return 'no tensor has its numbers';
  const folds = graph.consumers(name).some(({ opType }) => /^(Conv|ConvTranspose|Gemm)$/.test(opType ?? ''));
  const folded = folds ? ', or a batch normalization was folded into it that cannot be undone' : '';
  return `tensor ${quote(namesake)} has its shape and other numbers: exported from other weights${folded}`;
}
