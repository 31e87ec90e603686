import { AmalgamError, fromPlain } from '@amalgam/contracts';
import { startChild } from './child.js';
import type { EvaluateJob, TuneJob, TuningState } from './jobs.js';
import type { Evaluated, Message, Request, Tuned } from './messages.js';

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
  /** A process that says nothing for so long is ended. Default: an hour, many times what a step takes. */
  silenceMs?: number | undefined;
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

/** A process that says nothing for this long is stuck: in a loop of a graph that does not end, or in a driver. */
const SILENCE_MS = 3_600_000;

async function forkJob(request: Request, options: JobOptions): Promise<Message> {
  const { signal, silenceMs = SILENCE_MS } = options;
  if (signal?.aborted) throw canceled();
  const child = startChild(new URL('../dist/job-entry.js', import.meta.url), request.provider);
  let last: Message | undefined;
  let stuck = false;
  const kill = () => child.process.kill('SIGKILL');
  const timer = setTimeout(() => {
    stuck = true;
    kill();
  }, silenceMs);
  signal?.addEventListener('abort', kill);
  child.process.on('message', (received) => {
    timer.refresh();
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
      case 'alive':
        return;
      default:
        last = message;
        // It has said everything; native libraries take their time to be unloaded, or fail at it.
        kill();
    }
  });
  child.process.send(request, () => {});
  const how = await child.ended;
  clearTimeout(timer);
  signal?.removeEventListener('abort', kill);
  const output = child.output();
  if (last?.kind === 'failed') {
    if (output !== '') options.onNote?.('the forked process wrote', { output });
    throw fromPlain(last.error);
  }
  if (last !== undefined) return last;
  if (signal?.aborted) throw canceled();
  options.onNote?.('the forked process died', { how, stuck, output });
  if (stuck) {
    const detail = `nothing was heard of the process that ran the models for ${silenceMs / 1000} s: does a loop in a graph end?`;
    throw new AmalgamError('unavailable', detail);
  }
  // Most often the system's want of memory: another attempt, or another machine, may fare better.
  throw new AmalgamError('unavailable', `the process that ran the models ${how}`);
}

function canceled(): AmalgamError {
  return new AmalgamError('canceled', 'the merge was canceled');
}
