import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import { encodeModel, type ModelProto, type ValueMetadata } from '@amalgam/onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { FileJob } from './jobs.js';
import type { Provider } from './providers.js';
import { sessionOptions } from './providers-session.js';
import { reasonOf, wantsMemory } from './runtime-words.js';

/** Only the forked process imports this file: it loads onnxruntime, whose calls block the event loop. */

export interface Place {
  provider: Provider;
  threads: number;
}

/** Warnings of the runtime are about its own choices; errors are thrown. */
const QUIET = { logSeverityLevel: 3 } as const;

/** A model that is loaded, from its bytes or from a file beside which its external data lie. */
export async function openSession(model: ModelProto | string, place: Place): Promise<InferenceSession> {
  const options = { ...sessionOptions(place.provider, place), ...QUIET };
  if (typeof model === 'string') return InferenceSession.create(model, options);
  return InferenceSession.create(encodeModel(model), options);
}

/** Work with a graph as somebody exported it. What the runtime has against it becomes `invalid_graph` with the graph's name. */
export function asGraphErrors<T>({ name, path }: FileJob, work: () => Promise<T>): Promise<T> {
  return asErrors('invalid_graph', `${name}: the runtime refuses it`, work, path);
}

/**
 * What the runtime throws becomes an error of this code, in its words after `what`, without the folder of `path`. Want of
 * memory is nobody's mistake, and stays as it is.
 */
export async function asErrors<T>(
  code: 'invalid_graph' | 'invalid_dataset',
  what: string,
  work: () => Promise<T>,
  path?: string,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isAmalgamError(error) || !(error instanceof Error) || wantsMemory(error)) throw error;
    throw new AmalgamError(code, `${what}: ${reasonOf(error.message, path)}`);
  }
}

/** What the runtime says of a model's outputs; shapes that hang on constants are computed. */
export async function probe(model: ModelProto): Promise<ValueMetadata[]> {
  const session = await InferenceSession.create(encodeModel(model), {
    ...QUIET,
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'basic',
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  });
  try {
    return [...session.outputMetadata] as ValueMetadata[];
  } finally {
    await session.release();
  }
}

/** A float32 tensor over the values given, which are not copied. */
export function floatTensor(values: Float32Array, dims: readonly number[]): Tensor {
  return new Tensor('float32', values, dims);
}

export function floatsOf(tensor: Tensor): Float32Array {
  if (!(tensor.data instanceof Float32Array)) throw new TypeError(`a ${tensor.type} tensor is not float32`);
  return tensor.data;
}
