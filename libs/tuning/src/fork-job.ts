import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { AmalgamError, fromPlain } from '@amalgam/contracts';
import type { EvaluateJob, TuneJob, TuningState } from './jobs.js';
import type { Evaluated, Message, Request, Tuned } from './messages.js';
import { providerEnvironment } from './providers-session.js';

export interface JobOptions {
  /** Ends the process at once; the promise then rejects with `canceled`. */
  signal?: AbortSignal | undefined;
  /** After every step: steps done, and the losses by task. */
  onStep?(step: number, losses: number[]): void;
  /** Every few seconds, and at the end: what another process can go on from. */
  onState?(state: TuningState): void;
  onEvaluated?(done: number, total: number): void;
  /** Something that an operator may want to know. */
  onNote?(text: string, fields: Record<string, unknown>): void;
}

/** Learns coefficients in a process of its own. @throws AmalgamError what tuning says, `canceled`, `internal` when the process dies */
export async function runTuneJob(job: TuneJob, options: JobOptions = {}): Promise<Tuned> {
  const message = await forkJob(job, options);
  if (message.kind !== 'tuned') throw new AmalgamError('internal', `a tuning ended with "${message.kind}"`);
  return message.result;
}

/** Evaluates in a process of its own. @throws as `runTuneJob` */
export async function runEvaluateJob(job: EvaluateJob, options: JobOptions = {}): Promise<Evaluated> {
  const message = await forkJob(job, options);
  if (message.kind !== 'scores') throw new AmalgamError('internal', `an evaluation ended with "${message.kind}"`);
  return message.result;
}

/** Characters kept of what the process writes. */
const OUTPUT = 4096;

async function forkJob(request: Request, options: JobOptions): Promise<Message> {
  const { signal } = options;
  if (signal?.aborted) throw canceled();
  const child = fork(fileURLToPath(new URL('../dist/job-entry.js', import.meta.url)), [], {
    env: { ...process.env, ...providerEnvironment(request.provider) },
    // Not the flags of this process: a debugger's port is taken.
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-OUTPUT);
    });
  }
  let last: Message | undefined;
  const kill = () => child.kill('SIGKILL');
  signal?.addEventListener('abort', kill);
  child.on('message', (received) => {
    const message = received as Message;
    switch (message.kind) {
      case 'step':
        return options.onStep?.(message.step, message.losses);
      case 'state':
        return options.onState?.(message.state);
      case 'evaluated':
        return options.onEvaluated?.(message.done, message.total);
      case 'note':
        return options.onNote?.(message.text, message.fields);
      default:
        last = message;
        // It has said everything; native libraries take their time to be unloaded, or fail at it.
        kill();
    }
  });
  child.send(request, () => {});
  const how = await new Promise<string>((resolve) => {
    child.on('error', ({ message }) => resolve(message));
    child.on('close', (code, killedBy) => resolve(killedBy ?? `exit code ${code}`));
  });
  signal?.removeEventListener('abort', kill);
  if (last?.kind === 'failed') {
    if (output !== '') options.onNote?.('the forked process wrote', { output });
    throw fromPlain(last.error);
  }
  if (last !== undefined) return last;
  if (signal?.aborted) throw canceled();
  options.onNote?.('the forked process died', { how, output });
  // Most often the system's want of memory: another attempt, or another machine, may fare better.
  throw new AmalgamError('unavailable', `the process that ran the models ended with ${how}`);
}

function canceled(): AmalgamError {
  return new AmalgamError('canceled', 'the merge was canceled');
}
