import { encodeModel, type Graph, type ModelProto, modelOf, probeModel } from '@amalgam/onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { GivenType } from '../../src/index.js';

export type FloatDtype = 'F32' | 'F64';

/** What goes into a session or comes out. */
export interface Feed {
  dtype: FloatDtype | 'I64' | 'BOOL';
  dims: readonly number[];
  values: ArrayLike<number>;
}

/**
 * AUTODIFF_PROVIDER=webgpu or cuda runs the gradients of the operator tests there, in float32 and in their portable
 * form; what they are compared with stays on the CPU. Nothing may fall back to it unless the operator itself does.
 */
export const PROVIDER = process.env['AUTODIFF_PROVIDER'] ?? 'cpu';

const STRICT = { session: { disable_cpu_ep_fallback: '1' } };

const OPTIONS = { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 } as const;

/** A loaded model. */
export class Runner {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  static async load(
    model: ModelProto,
    level: 'disabled' | 'basic' | 'all' = 'all',
    place: 'cpu' | 'provider' | 'provider or cpu' = 'cpu',
  ): Promise<Runner> {
    const executionProviders = [place === 'cpu' ? 'cpu' : PROVIDER];
    const extra = place === 'provider' && PROVIDER !== 'cpu' ? STRICT : {};
    const options = { ...OPTIONS, executionProviders, extra, graphOptimizationLevel: level };
    return new Runner(await InferenceSession.create(encodeModel(model), options));
  }

  /** Loads on the provider alone if it has kernels for another model, which this one extends. */
  static async loadLike(other: ModelProto, model: ModelProto): Promise<Runner> {
    if (PROVIDER === 'cpu') return Runner.load(model);
    try {
      await (await Runner.load(other, 'all', 'provider')).release();
    } catch {
      return Runner.load(model, 'all', 'provider or cpu');
    }
    return Runner.load(model, 'all', 'provider');
  }

  async run(feeds: Readonly<Record<string, Feed>>): Promise<Record<string, Feed & { values: number[] }>> {
    const tensors = Object.entries(feeds).map(([name, feed]) => [name, toTensor(feed)]);
    const results = await this.#session.run(Object.fromEntries(tensors));
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, fromTensor(tensor)]));
  }

  get types(): Map<string, GivenType> {
    const types = new Map<string, GivenType>();
    for (const output of this.#session.outputMetadata) {
      if (output.isTensor) types.set(output.name, { type: output.type, dims: output.shape });
    }
    return types;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

/** The model of a graph with other outputs. */
export function modelWith(graph: Graph, outputs: readonly string[]): ModelProto {
  const model = modelOf(graph);
  return { ...model, graph: { ...model.graph!, output: outputs.map((name) => ({ name })), valueInfo: [] } };
}

/** Types of all values as onnxruntime infers them; sizes of inputs may be open. */
export async function typesOf(
  graph: Graph,
  inputs?: Record<string, readonly number[]>,
): Promise<Map<string, GivenType>> {
  const made = graph.nodes().flatMap((node) => node.output.filter((name) => name !== ''));
  const model = inputs === undefined ? modelWith(graph, made) : probeModel(graph, inputs);
  const runner = await Runner.load(model, 'basic');
  const { types } = runner;
  await runner.release();
  return types;
}

function toTensor({ dtype, dims, values }: Feed): Tensor {
  switch (dtype) {
    case 'F32':
      return new Tensor('float32', Float32Array.from(values), dims);
    case 'F64':
      return new Tensor('float64', Float64Array.from(values), dims);
    case 'I64':
      return new Tensor('int64', BigInt64Array.from(Array.from(values, (value) => BigInt(value))), dims);
    case 'BOOL':
      return new Tensor('bool', Uint8Array.from(values), dims);
  }
}

function fromTensor(tensor: Tensor): Feed & { values: number[] } {
  const dtype = ({ float32: 'F32', float64: 'F64', int64: 'I64', bool: 'BOOL' } as const)[tensor.type as 'float32'];
  const data = tensor.data as unknown as ArrayLike<number | bigint>;
  return { dtype, dims: tensor.dims, values: Array.from(data, Number) };
}
