import { type GivenType, gradients } from '@amalgam/autodiff';
import { type Graph, getInts, intAttribute, intsAttribute, type NodeProto, ONNX_DTYPES, tensorOf } from '@amalgam/onnx';

export interface Turns {
  /** The loss of each part of the graph, float32 [1]. The parts have nothing in common but the values of `wrt`. */
  totals: readonly string[];
  wrt: readonly string[];
  shapes: ReadonlyMap<string, GivenType>;
  /** By part: the inputs that only it reads. */
  inputs: readonly (readonly string[])[];
  portable: boolean;
}

/**
 * Adds the gradient of the sum of all losses, by value of `wrt`, so that the parts run in turn: each begins when the gradients
 * of the one before are there. Otherwise the runtime would run all forward passes first, and hold all their activations.
 */
export function gradientsInTurn(graph: Graph, { totals, wrt, shapes, inputs, portable }: Turns): Map<string, string> {
  const sums = new Map<string, Sum>();
  for (const [part, of] of totals.entries()) {
    const { gradients: own, independent } = gradients(graph, { of, wrt, shapes, portable });
    const done = [...sums.values()].map(({ value }) => value);
    if (part > 0) waitFor(graph, done, inputs[part]!);
    for (const value of wrt) {
      const gradient = untransposed(graph, own.get(value)!);
      const before = sums.get(value);
      // What no part depends on keeps its zeros.
      if (before === undefined) sums.set(value, gradient);
      else if (!independent.includes(value)) sums.set(value, add(graph, before, gradient));
    }
  }
  return new Map([...sums].map(([value, sum]) => [value, whole(graph, sum)]));
}

/** A gradient, or one that is still to be transposed: gradients are added before that, so that it is done once per step. */
interface Sum {
  value: string;
  perm: readonly number[] | null;
}

function untransposed(graph: Graph, value: string): Sum {
  const node = graph.producer(value);
  if (node?.opType !== 'Transpose' || node.input[0] === undefined) return { value, perm: null };
  return { value: node.input[0], perm: getInts(node, 'perm') };
}

function whole(graph: Graph, { value, perm }: Sum): string {
  return perm === null ? value : graph.op('Transpose', [value], [intsAttribute('perm', perm)]);
}

/** With Sum, unlike Add, the runtime lets the product of matrices that gives one of two add it to the other. */
function add(graph: Graph, a: Sum, b: Sum): Sum {
  if (a.perm?.join() === b.perm?.join()) return { value: graph.op('Sum', [a.value, b.value]), perm: a.perm };
  return { value: graph.op('Sum', [whole(graph, a), whole(graph, b)]), perm: null };
}

/** Lets the readers of inputs wait until some float32 values are there. */
function waitFor(graph: Graph, values: readonly string[], inputs: readonly string[]): void {
  const shape = graph.constant(tensorOf('shape', 'I64', [1], [-1]));
  const at = (index: number) => graph.constant(tensorOf('index', 'I64', [1], [index]));
  // One number of each; a tree, because WebGPU binds 16 buffers to a shader.
  let some = values.map((value) => graph.op('Slice', [graph.op('Reshape', [value, shape]), at(0), at(1)]));
  while (some.length > 1) {
    const next: string[] = [];
    for (let i = 0; i < some.length; i += 8) next.push(graph.op('Sum', some.slice(i, i + 8)));
    some = next;
  }
  const signal = graph.op('IsNaN', [some[0]!]);
  for (const input of inputs) {
    const type = graph.inputs.get(input)?.type?.tensorType?.elemType;
    const carrier = CARRIERS.get(type ?? 0);
    const first = carrier === undefined ? null : cast(graph, input, carrier);
    const carried = first?.output[0] ?? input;
    // The same either way; no optimisation knows that.
    const waiting = graph.addNode({ opType: 'Where', inputs: [signal, carried, carried] });
    const last = carrier === undefined ? waiting : cast(graph, waiting.output[0]!, type!);
    graph.replaceUses(input, last.output[0]!, new Set([first ?? waiting]));
  }
}

/** Types that the CPU's Where lacks, and others that it has and that hold the same numbers. */
const CARRIERS: ReadonlyMap<number, number> = new Map(
  (
    [
      ['BOOL', 'U8'],
      ['I8', 'I32'],
      ['I16', 'I32'],
      ['U16', 'I32'],
      ['U32', 'I64'],
      ['F16', 'F32'],
      ['BF16', 'F32'],
    ] as const
  ).map(([type, carrier]) => [ONNX_DTYPES[type].code, ONNX_DTYPES[carrier].code]),
);

function cast(graph: Graph, value: string, to: number): NodeProto {
  return graph.addNode({ opType: 'Cast', inputs: [value], attributes: [intAttribute('to', to)] });
}
