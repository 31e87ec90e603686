import { AmalgamError } from '@amalgam/contracts';
import { cudaDeviceName } from './providers-cuda.js';
import { type ProbeOptions, type ProbeResult, probeProvider } from './providers-probe.js';

/** Execution providers of onnxruntime that tuning can run on, in the order in which `auto` tries them. */
export const PROVIDERS = ['cuda', 'webgpu', 'cpu'] as const;
export type Provider = (typeof PROVIDERS)[number];

/** One provider that was tried: `why` says what makes it unusable or not chosen; empty when it was chosen. */
export interface TriedProvider {
  provider: Provider;
  ok: boolean;
  why: string;
}

export interface ChosenProvider {
  provider: Provider;
  /** In words, for people: `cpu`, `cuda: NVIDIA H100 80GB HBM3`, `webgpu`. */
  device: string;
  /** In the order in which they were tried; the chosen one is among them. */
  tried: TriedProvider[];
}

/** Where the choice is told; a pino logger fits. */
export interface ProviderLog {
  info(fields: object, message: string): void;
}

/**
 * Chooses what tuning runs on, by running a small model on it in a process of its own. `auto` takes CUDA when it
 * works, else WebGPU when it works and is faster than the CPU (which a software driver is not, and onnxruntime does not
 * say which driver it uses), else the CPU. A setting that names a provider takes that one, however fast.
 *
 * @throws AmalgamError `device_unavailable` with the reasons, when the named provider, or with `auto` every one, fails;
 * `canceled`.
 */
export async function chooseProvider(
  setting: 'auto' | Provider,
  log: ProviderLog,
  options: ProbeOptions = {},
): Promise<ChosenProvider> {
  const tried = setting === 'auto' ? await tryAll(options) : [await attempt(setting, options)];
  if (options.signal?.aborted) throw new AmalgamError('canceled', 'the search for a device was canceled');
  const chosen = tried.find(({ ok, why }) => ok && why === '');
  if (chosen === undefined) {
    const reasons = tried.map(({ provider, why }) => `${provider}: ${why}`).join('; ');
    throw new AmalgamError('device_unavailable', reasons);
  }
  const { provider } = chosen;
  const device = provider === 'cuda' ? await cudaDeviceName() : provider;
  log.info({ setting, provider, device, tried }, `tuning runs on ${device}`);
  return { provider, device, tried };
}

async function tryAll(options: ProbeOptions): Promise<TriedProvider[]> {
  const cuda = await attempt('cuda', options);
  if (cuda.ok) return [cuda];
  const webgpu = await probeProvider('webgpu', { ...options, timed: true });
  const cpu = await probeProvider('cpu', { ...options, timed: webgpu.ok });
  if (!webgpu.ok || !cpu.ok) return [cuda, asTried('webgpu', webgpu), asTried('cpu', cpu)];
  const times = `${Math.round(webgpu.ms)} ms against ${Math.round(cpu.ms)} ms for the same matrix products`;
  if (webgpu.ms < cpu.ms) return [cuda, asTried('webgpu', webgpu), { ...asTried('cpu', cpu), why: `slower: ${times}` }];
  return [cuda, { provider: 'webgpu', ok: true, why: `no faster than the cpu: ${times}` }, asTried('cpu', cpu)];
}

async function attempt(provider: Provider, options: ProbeOptions): Promise<TriedProvider> {
  return asTried(provider, await probeProvider(provider, options));
}

function asTried(provider: Provider, result: ProbeResult): TriedProvider {
  return { provider, ok: result.ok, why: result.ok ? '' : result.why };
}
