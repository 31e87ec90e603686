import { type AttributeProto, codeOfDtype, Graph, type OnnxDtype, tensorOf, type ValueInfoProto } from '@amalgam/onnx';
import { random, sizeOf } from './random.js';
import type { Feed, FloatDtype } from './runtime.js';

/** A float tensor with respect to which a case is differentiated. */
export interface Variable {
  kind: 'variable';
  dims: readonly number[];
  /** Numbers in [low, high]; `signed`: with either sign; `distinct`: all at least 0.15 apart. */
  low: number;
  high: number;
  signed: boolean;
  distinct: boolean;
  /** The first axis is called N, and no rule knows how long it is. */
  open?: boolean;
}

/** A tensor that stays as it is: an initializer, or fed (`given`), so that no rule can know it beforehand. */
export interface Fixed {
  kind: 'constant' | 'given';
  dtype: 'I64' | 'BOOL' | 'float';
  dims: readonly number[];
  values: readonly number[];
}

export type Operand = Variable | Fixed | '';

/** Away from zero, where Abs and Relu have a kink. */
export function x(...dims: number[]): Variable {
  return { kind: 'variable', dims, low: 0.2, high: 1.2, signed: true, distinct: false };
}

export function positive(...dims: number[]): Variable {
  return { ...x(...dims), signed: false };
}

export function within(low: number, high: number, ...dims: number[]): Variable {
  return { ...x(...dims), low, high, signed: false };
}

/** For maxima, which have a kink where two are equal. */
export function distinct(...dims: number[]): Variable {
  return { ...x(...dims), distinct: true };
}

export function batch(variable: Variable): Variable {
  return { ...variable, open: true };
}

export function ints(...values: number[]): Fixed {
  return { kind: 'constant', dtype: 'I64', dims: [values.length], values };
}

export function int(value: number): Fixed {
  return { kind: 'constant', dtype: 'I64', dims: [], values: [value] };
}

export function floats(dims: readonly number[], ...values: number[]): Fixed {
  return { kind: 'constant', dtype: 'float', dims, values };
}

export function bools(dims: readonly number[], ...values: number[]): Fixed {
  return { kind: 'constant', dtype: 'BOOL', dims, values };
}

export function given(fixed: Fixed, dims = fixed.dims): Fixed {
  return { ...fixed, kind: 'given', dims };
}

export function shaped(fixed: Fixed, ...dims: number[]): Fixed {
  return { ...fixed, dims };
}

export interface Case {
  name: string;
  operands: readonly Operand[];
  opset: number;
  /** Float64 unless the runtime has no such kernel. */
  dtype: FloatDtype;
  /** Other providers cannot run this, for a reason that is not the gradient's. */
  cpuOnly: boolean;
  /** Has arithmetic on integers, which other providers leave to the CPU. */
  mixed: boolean;
  build: (graph: Graph, inputs: readonly string[]) => string;
}

export interface CaseOptions {
  opset?: number;
  dtype?: FloatDtype;
  name?: string;
  outputs?: number;
  cpuOnly?: boolean;
  mixed?: boolean;
}

/** A case of one operator, of which the first output counts. */
export function op(
  opType: string,
  operands: readonly Operand[],
  attributes: readonly AttributeProto[] = [],
  { opset = 18, dtype = 'F64', name, outputs = 1, cpuOnly = false, mixed = false }: CaseOptions = {},
): Case {
  return {
    name: name ?? `${opType} ${describeOperands(operands)}${describeAttributes(attributes)}, opset ${opset}`,
    operands,
    opset,
    dtype,
    cpuOnly,
    mixed,
    build: (graph, inputs) => graph.addNode({ opType, inputs, attributes, outputs, name: `the ${opType}` }).output[0]!,
  };
}

/** A case of several operators. */
export function composed(
  name: string,
  operands: readonly Operand[],
  build: Case['build'],
  { opset = 18, dtype = 'F64', cpuOnly = false, mixed = false }: CaseOptions = {},
): Case {
  return { name, operands, opset, dtype, cpuOnly, mixed, build };
}

export interface Prepared {
  graph: Graph;
  /** The output. */
  y: string;
  variables: string[];
  feeds: Record<string, Feed>;
}

/** Builds a case's graph and draws its inputs. */
export function prepare(test: Case, seed = 1): Prepared {
  const draw = random(seed);
  const graph = new Graph('case');
  graph.setOpset('', test.opset);
  const feeds: Record<string, Feed> = {};
  const variables: string[] = [];
  const inputs = test.operands.map((operand, i) => {
    if (operand === '') return '';
    const name = `${operand.kind}${i}`;
    const dtype = operand.kind === 'variable' || operand.dtype === 'float' ? test.dtype : operand.dtype;
    if (operand.kind === 'constant') return graph.setInitializer(tensorOf(name, dtype, operand.dims, operand.values));
    const open = operand.kind === 'variable' && operand.open === true;
    graph.addInput(inputInfo(name, dtype, open ? ['N', ...operand.dims.slice(1)] : operand.dims));
    if (operand.kind === 'variable') variables.push(name);
    const values = operand.kind === 'variable' ? drawn(operand, draw) : operand.values;
    feeds[name] = { dtype, dims: operand.dims, values };
    return name;
  });
  return { graph, y: test.build(graph, inputs), variables, feeds };
}

export function inputInfo(name: string, dtype: OnnxDtype, dims: readonly (number | string)[]): ValueInfoProto {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: codeOfDtype(dtype), shape: { dim } } } };
}

function drawn({ dims, low, high, signed, distinct }: Variable, draw: () => number): number[] {
  const size = sizeOf(dims);
  if (distinct) {
    const order = Array.from({ length: size }, (_, i) => ({ value: 0.15 * (i - size / 2) + 0.07, key: draw() }));
    return order.sort((a, b) => a.key - b.key).map(({ value }) => value);
  }
  return Array.from({ length: size }, () => (low + (high - low) * draw()) * (signed && draw() < 0.5 ? -1 : 1));
}

function describeOperands(operands: readonly Operand[]): string {
  const shown = operands.map((operand) => {
    if (operand === '') return '-';
    if (operand.kind === 'variable') return `[${operand.dims}]`;
    return `${operand.kind === 'given' ? 'fed ' : ''}${JSON.stringify(operand.values)}`;
  });
  return shown.join(' ');
}

function describeAttributes(attributes: readonly AttributeProto[]): string {
  const shown = attributes.map(({ name, i, f, s, ints: many }) => {
    const value = i ?? f ?? many ?? (s === undefined ? '' : Buffer.from(s).toString());
    return `${name}=${value}`;
  });
  return shown.length === 0 ? '' : ` ${shown.join(' ')}`;
}
