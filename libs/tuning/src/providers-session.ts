import { availableParallelism } from 'node:os';
import type { InferenceSession } from 'onnxruntime-node';
import type { Provider } from './providers.js';

export interface SessionSettings {
  /** Threads within an operator, where the CPU computes. Default: every core. */
  threads?: number | undefined;
  /** Refuse a graph of which some part would run on the CPU instead. Default: let it. */
  strict?: boolean;
}

/**
 * How sessions that tune are created. Memory is what the settings are about: prepacking copies every constant factor
 * of a matrix product (task vectors, mapped from their file), folding makes float32 of half-precision task vectors, and
 * a memory pattern reserves everything as one block. None of them makes a step faster.
 */
export function sessionOptions(
  provider: Provider,
  { threads, strict = false }: SessionSettings = {},
): InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    // Fused operators are the CPU's and CUDA's; WebGPU has fewer kernels for them.
    graphOptimizationLevel: provider === 'webgpu' ? 'basic' : 'extended',
    executionMode: 'sequential',
    intraOpNumThreads: threads ?? availableParallelism(),
    interOpNumThreads: 1,
    enableMemPattern: false,
    extra: {
      session: {
        disable_prepacking: '1',
        ...(strict && provider !== 'cpu' ? { disable_cpu_ep_fallback: '1' } : {}),
      },
      optimization: { disable_specified_optimizers: 'ConstantFolding' },
    },
  };
}

/**
 * What the environment of a process with such sessions must add. By default CUDA multiplies float32 matrices as TF32,
 * with 10 bits of mantissa; the npm package has no option against it, NVIDIA's libraries have this variable.
 */
export function providerEnvironment(provider: Provider): Record<string, string> {
  return provider === 'cuda' ? { NVIDIA_TF32_OVERRIDE: '0' } : {};
}
