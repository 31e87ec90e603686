import { type AttributeProto, Graph, type OnnxDtype, tensorOf } from '@amalgam/onnx';
import type { Dim, GivenType } from '../../src/index.js';
import { inputInfo } from './cases.js';

/** A graph written down node by node, for tests that look at it rather than run it. */
export class Small {
  readonly graph: Graph;
  readonly shapes = new Map<string, GivenType>();

  constructor(opset = 18, name = 'model.onnx') {
    this.graph = new Graph(name);
    this.graph.setOpset('', opset);
  }

  input(name: string, dims: readonly Dim[] = [2, 3], dtype: OnnxDtype = 'F32'): string {
    return this.graph.addInput(inputInfo(name, dtype, dims));
  }

  ints(name: string, ...values: number[]): string {
    return this.graph.setInitializer(tensorOf(name, 'I64', [values.length], values));
  }

  floats(name: string, dims: readonly number[], ...values: number[]): string {
    return this.graph.setInitializer(tensorOf(name, 'F32', dims, values));
  }

  /** A node called `n-<operator>`, whose outputs are float32 of this shape. */
  node(
    opType: string,
    inputs: readonly string[],
    dims: readonly Dim[] = [2, 3],
    attributes: readonly AttributeProto[] = [],
    { outputs = 1, domain = '', type = 'float32' }: { outputs?: number; domain?: string; type?: string } = {},
  ): string[] {
    const node = this.graph.addNode({ opType, inputs, attributes, outputs, domain, name: `n-${opType}` });
    for (const output of node.output) this.shapes.set(output, { type, dims });
    return node.output;
  }

  /** The sum of a value. */
  loss(value: string): string {
    return this.node('ReduceSum', [value], [], [])[0]!;
  }
}
