import { quote } from '@amalgam/contracts';
import { type Graph, type NodeProto, requireOpset, requireSupported } from '@amalgam/onnx';
import { Builder } from './builder.js';
import { lowerPath } from './lowering.js';
import { findPath, isValue, type Path } from './path.js';
import { refuseGraph } from './refuse.js';
import type { Options } from './rule.js';
import { siteOf } from './site.js';
import { LOWERINGS, RULES, SEVERAL_OUTPUTS } from './table.js';
import { differ, type GivenType, isDifferentiable, product } from './types.js';

export interface GradientRequest {
  /** The loss: a float value of one element. */
  of: string;
  /** Float values to differentiate with respect to: inputs, initializers or intermediate values. */
  wrt: readonly string[];
  /**
   * Types of the intermediate values and of inputs whose shape the file leaves open, as `shapesFrom` of
   * @amalgam/onnx gives them. A dimension may be a name, such as that of the batch.
   */
  shapes: ReadonlyMap<string, GivenType>;
  /**
   * True: only operators that every execution provider has a kernel for (no Sign, no LogSoftmax, no Indices of
   * MaxPool, no Split into more than 15). Default false: the faster ones on CPU.
   */
  portable?: boolean;
}

export interface Gradients {
  /** The graph that was given, with the gradient's nodes. */
  graph: Graph;
  /** For each value of `wrt`, the name of d of / d value: same shape and dtype, no two the same name. */
  gradients: Map<string, string>;
  /** Values of `wrt` that the loss does not depend on. Their gradients are zeros. */
  independent: string[];
}

/**
 * Extends a graph by the gradient of a loss, by reverse-mode differentiation: node by node from the loss back, each
 * turned into standard operators by the rule in `RULES`. What lies between `wrt` and the loss is differentiated and
 * nothing else; gradients of several uses are added; integers, booleans and steps such as Floor and Sign end a way.
 * Composite operators on the way are first replaced by simpler ones (`LOWERINGS`), keeping their outputs' names.
 *
 * The graph is changed in place and nothing in it is made an output. After an error it may hold leftovers: drop it.
 *
 * Errors: `unsupported_graph` for opsets before 16, and naming operator, node and opset for what cannot be
 * differentiated; `invalid_graph` when `of` or `wrt` is no float value of the graph, `of` has several elements, or
 * the type of a value on the way is not known.
 */
export function gradients(graph: Graph, request: GradientRequest): Gradients {
  requireOpset(graph);
  const { of, wrt, shapes, portable = false } = request;
  const b = new Builder(graph, shapes);
  checkEnds(b, of, wrt);
  const options: Options = { portable };

  let path = checkedPath(b, wrt, of);
  while (lowerPath(b, path, options)) path = checkedPath(b, wrt, of);

  const found = backward(b, path, of, options);
  const named = new Map<string, string>();
  const independent = new Set<string>();
  b.scope = 'grad';
  for (const value of new Set(wrt)) {
    let gradient = found.get(value);
    if (gradient === undefined) {
      independent.add(value);
      gradient = b.zeros(b.dims(value), value);
    }
    // Gradients of two values may be one; as outputs they need different names, and nodes that make them.
    const taken = graph.producer(gradient) === undefined || [...named.values()].includes(gradient);
    named.set(value, taken ? b.identity(gradient) : gradient);
  }
  return { graph, gradients: named, independent: [...independent] };
}

function checkEnds(b: Builder, of: string, wrt: readonly string[]): void {
  for (const [value, what] of [[of, 'the loss'] as const, ...wrt.map((name) => [name, 'the value'] as const)]) {
    const name = `${what} ${quote(value)}`;
    if (!isValue(b.graph, value)) throw refuseGraph(b.graph, `${name} is not in the graph`);
    const type = b.type(value);
    if (!isDifferentiable(type)) throw refuseGraph(b.graph, `${name} is of dtype ${type.dtype}, not a float`);
    if (value === of && product(type.dims) !== 1) {
      throw refuseGraph(b.graph, `${name} has shape [${type.dims.join(', ')}]; it must have one element`);
    }
  }
}

/** Errors: `unsupported_graph` when something on the path has no rule. */
function checkedPath(b: Builder, wrt: readonly string[], of: string): Path {
  const path = findPath(b, wrt, of, b.stopped);
  requireSupported(b.graph, path.nodes);
  for (const node of path.nodes) {
    const opType = node.opType ?? '';
    if (opType in RULES || opType in LOWERINGS) continue;
    throw siteOf(b, node, { portable: false }).refuse('there is no gradient for this operator');
  }
  return path;
}

/** The gradient of every value on the path, the loss's being 1. */
function backward(b: Builder, path: Path, of: string, options: Options): ReadonlyMap<string, string> {
  const totals = new Map<string, string>();
  if (path.values.has(of)) totals.set(of, b.expand(b.scalar(1, of), b.dims(of)));
  for (const node of path.nodes.toReversed()) {
    const dys = node.output.map((value) => totals.get(value) ?? null);
    if (dys.every((dy) => dy === null)) continue;
    b.scope = `grad/${node.name || (node.opType ?? '')}`;
    for (const [value, gradient] of gradientsOfInputs(b, node, dys, path.values, options)) {
      const before = totals.get(value);
      totals.set(value, before === undefined ? gradient : b.add(before, gradient));
    }
  }
  return totals;
}

function gradientsOfInputs(
  b: Builder,
  node: NodeProto,
  dys: readonly (string | null)[],
  needed: ReadonlySet<string>,
  options: Options,
): [value: string, gradient: string][] {
  const site = siteOf(b, node, options);
  const opType = node.opType ?? '';
  if (!SEVERAL_OUTPUTS.has(opType)) {
    const further = dys.findIndex((dy, i) => i > 0 && dy !== null);
    if (further > 0) throw site.refuse(`the loss depends on its output ${further}, which has no gradient`);
  }
  const found = RULES[opType]!({ ...site, dy: dys[0] ?? '', dys });
  return node.input.flatMap((value, i): [string, string][] => {
    if (!needed.has(value)) return [];
    const gradient = found[i]?.();
    if (gradient === undefined) throw site.refuse(`there is no gradient for its input ${i}`);
    const [made, expected] = [b.type(gradient), b.type(value)];
    if (made.dtype !== expected.dtype || differ(made.dims, expected.dims)) {
      const shape = `${made.dtype} [${made.dims}] instead of ${expected.dtype} [${expected.dims}]`;
      throw site.refuse(`the gradient of its input ${i} would be ${shape}`);
    }
    b.assume(gradient, expected);
    return [[value, gradient]];
  });
}
