import { stripVTControlCharacters } from 'node:util';
import { startChild } from './child.js';
import type { Provider } from './providers.js';

export interface ProbeOptions {
  /** Threads of the CPU. Default: every core. */
  threads?: number | undefined;
  /** Default: one minute, since a GPU's first use may compile kernels. */
  timeoutMs?: number;
  /** Ends the search at once. */
  signal?: AbortSignal | undefined;
  /** The program that answers; another one in tests. */
  entry?: URL;
}

/** What the forked program is asked to do. */
export interface ProbeTask {
  provider: Provider;
  threads: number | undefined;
  /** Also take the time of larger products. */
  timed: boolean;
}

/** `ms`: the shortest run of the larger products, 0 when no time was asked for. */
export type ProbeResult = { ok: true; ms: number } | { ok: false; why: string };

const TIMEOUT_MS = 60_000;
/** Characters kept of a reason. */
const REASON = 600;
const CANCELED = 'the search was canceled';

/**
 * Runs a small model on a provider in a process of its own: a driver that fails may abort its process, and
 * onnxruntime's calls block their event loop. Whatever happens there is told as a reason, without paths.
 */
export async function probeProvider(
  provider: Provider,
  { threads, timeoutMs = TIMEOUT_MS, entry, timed = false, signal }: ProbeOptions & { timed?: boolean } = {},
): Promise<ProbeResult> {
  if (signal?.aborted) return { ok: false, why: CANCELED };
  const child = startChild(entry ?? new URL('../dist/providers-probe-entry.js', import.meta.url), provider);
  let result: ProbeResult | undefined;
  const end = (ended: ProbeResult) => {
    result ??= ended;
    // Its answer is all that is wanted of it: drivers have been seen to fail while they are unloaded.
    child.process.kill('SIGKILL');
  };
  const timer = setTimeout(() => end({ ok: false, why: `no answer within ${timeoutMs / 1000} s` }), timeoutMs);
  const cancel = () => end({ ok: false, why: CANCELED });
  signal?.addEventListener('abort', cancel);
  child.process.on('message', (answer) => end(answer as ProbeResult));
  const task: ProbeTask = { provider, threads, timed };
  // When the program is gone already, its end says why.
  child.process.send(task, () => {});
  const how = `the probe ${await child.ended}`;
  clearTimeout(timer);
  signal?.removeEventListener('abort', cancel);
  if (result?.ok === true) return result;
  return { ok: false, why: reason(`${child.output()}\n${result === undefined ? how : result.why}`) };
}

/** The last of what was said, without colours, paths, time stamps, stack and the names of functions. */
function reason(text: string): string {
  const lines = stripVTControlCharacters(text)
    .split('\n')
    .map((line) =>
      line
        .replaceAll(/(?:file:\/\/)?(?:\/[\w.@+~-]+)+\/([\w.@+~-]+)/g, '$1')
        .replace(/^.*\[ONNXRuntimeError\] : \d+ : \w+ : /, '')
        .replace(/^.*\bwas false\. /, '')
        .trim(),
    );
  const told = new Set(lines.filter((line) => line !== '' && !/^(at |-----|\d+: )/.test(line)));
  return [...told].join('; ').slice(-REASON) || 'it fails without a reason';
}
