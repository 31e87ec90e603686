import { quote } from '@amalgam/contracts';
import {
  type AttributeProto,
  codeOfDtype,
  dtypeOfCode,
  type Graph,
  intAttribute,
  isStringTensor,
  type OnnxDtype,
  tensorOf,
} from '@amalgam/onnx';
import { refuseGraph } from './refuse.js';
import { type Dim, type GivenType, isStatic, typeOfGiven, typeOfInfo, type ValueType } from './types.js';

/** Types of a graph's values, kept up to date while nodes are added, and constants made from numbers. */
export class Values {
  readonly graph: Graph;
  readonly opset: number;
  /** What new nodes are named after: the node that they differentiate or replace. */
  scope = 'grad';
  readonly #stopped = new Set<string>();
  readonly #types = new Map<string, ValueType>();
  /** Where a named size can be read while running. */
  readonly #sizes = new Map<string, { value: string; axis: number }>();
  readonly #made = new Map<string, string>();
  #unnamed = 0;

  constructor(graph: Graph, shapes: ReadonlyMap<string, GivenType>) {
    this.graph = graph;
    this.opset = graph.opset() ?? 0;
    const given = (value: string) => {
      const type = shapes.get(value);
      return type === undefined ? undefined : typeOfGiven(type);
    };
    for (const [value, info] of graph.inputs) this.#learn(value, given(value) ?? typeOfInfo(info));
    for (const [value, tensor] of graph.initializers) {
      const dtype = isStringTensor(tensor) ? undefined : dtypeOfCode(tensor.dataType);
      if (dtype !== undefined && !graph.inputs.has(value)) this.#learn(value, { dtype, dims: tensor.dims });
    }
    // In this order, so that a named size is read from the earliest value that has it.
    for (const node of graph.nodes()) {
      for (const value of node.output) this.#learn(value, given(value) ?? typeOfInfo(graph.typeOf(value)));
    }
  }

  known(value: string): ValueType | undefined {
    return this.#types.get(value);
  }

  /** Errors: `invalid_graph` when nothing says what type the value has. */
  type(value: string): ValueType {
    const type = this.#types.get(value);
    if (type === undefined) {
      throw refuseGraph(this.graph, `the type of the value ${quote(value)} is needed and was not given`);
    }
    return type;
  }

  dims(value: string): readonly Dim[] {
    return this.type(value).dims;
  }

  dtype(value: string): OnnxDtype {
    return this.type(value).dtype;
  }

  rank(value: string): number {
    return this.dims(value).length;
  }

  /** Gives a value's sizes the names that they are known by elsewhere. */
  assume(value: string, type: ValueType): void {
    this.#types.set(value, type);
  }

  /** The name of a size that nothing is known of. */
  unknownDim(): string {
    return `?${this.#unnamed++}`;
  }

  /** Adds a node of one output, of which the type is known, and returns that. */
  op(opType: string, inputs: readonly string[], type: ValueType, attributes: readonly AttributeProto[] = []): string {
    const value = this.graph.op(opType, inputs, attributes, `${this.scope}/${opType}`);
    this.#learn(value, type);
    return value;
  }

  /** Values that no gradient passes through, by decision of a lowering. */
  get stopped(): ReadonlySet<string> {
    return this.#stopped;
  }

  stop(value: string): void {
    this.#stopped.add(value);
  }

  /** An output of an existing node that it may have left out: mean and scale of LayerNormalization. */
  extraOutput(node: Parameters<Graph['outputOf']>[0], index: number, type: ValueType): string {
    const value = this.graph.outputOf(node, index);
    this.#learn(value, type);
    return value;
  }

  /** A constant; `F16` and `BF16` are made from float32 while running. */
  constant(dtype: OnnxDtype, dims: readonly number[], values: ArrayLike<number>, name = 'constant'): string {
    switch (dtype) {
      case 'F32':
      case 'F64':
      case 'I64':
      case 'I32':
      case 'U8':
      case 'BOOL':
        return this.#named(tensorOf(name, dtype, dims, values), { dtype, dims });
      default: {
        const wide = this.constant('F32', dims, values, name);
        return this.#once(`cast ${dtype} ${wide}`, () =>
          this.op('Cast', [wide], { dtype, dims }, [intAttribute('to', codeOfDtype(dtype))]),
        );
      }
    }
  }

  /** A scalar of another value's dtype. */
  scalar(value: number, like: string): string {
    return this.constant(this.dtype(like), [], [value], 'scalar');
  }

  /** A vector of 64-bit integers. */
  ints(values: readonly number[]): string {
    return this.constant('I64', [values.length], values, 'ints');
  }

  /** A vector of 64-bit integers that holds a shape: a constant when it is static, otherwise read while running. */
  vector(dims: readonly Dim[]): string {
    if (isStatic(dims)) return this.ints(dims);
    const parts = dims.map((dim) => (typeof dim === 'number' ? this.ints([dim]) : this.#size(dim)));
    if (parts.length === 1) return parts[0]!;
    return this.#once(`vector ${dims.join(',')}`, () =>
      this.op('Concat', parts, { dtype: 'I64', dims: [parts.length] }, [intAttribute('axis', 0)]),
    );
  }

  /** True when `vector` can say this size. */
  isReadable(dim: Dim): boolean {
    return typeof dim === 'number' || this.#sizes.has(dim);
  }

  /** The shape of a value as a vector, whatever is known of it. */
  shapeOf(value: string): string {
    const dims = this.dims(value);
    if (isStatic(dims)) return this.ints(dims);
    return this.#once(`shape ${value}`, () => this.op('Shape', [value], { dtype: 'I64', dims: [dims.length] }));
  }

  #size(dim: string): string {
    const place = this.#sizes.get(dim);
    if (place === undefined) throw refuseGraph(this.graph, `nothing has the size ${quote(dim)}`);
    return this.#once(`size ${dim}`, () => {
      const axis = this.ints([place.axis]);
      return this.op('Gather', [this.shapeOf(place.value), axis], { dtype: 'I64', dims: [1] });
    });
  }

  #named(tensor: ReturnType<typeof tensorOf>, type: ValueType): string {
    const value = this.graph.constant(tensor);
    this.#learn(value, type);
    return value;
  }

  /** Makes a value once per key. */
  #once(key: string, make: () => string): string {
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const value = make();
    this.#made.set(key, value);
    return value;
  }

  #learn(value: string, type: ValueType | undefined): void {
    if (type === undefined) return;
    // Sizes without a name are each their own.
    const dims = type.dims.map((dim) => (dim === '' || (typeof dim === 'number' && dim < 0) ? this.unknownDim() : dim));
    this.#types.set(value, { dtype: type.dtype, dims });
    dims.forEach((dim, axis) => {
      if (typeof dim === 'string' && !this.#sizes.has(dim)) this.#sizes.set(dim, { value, axis });
    });
  }
}
