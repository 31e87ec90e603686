import type { TuningProgress } from '@amalgam/contracts';
import type { ChosenProvider } from '@amalgam/tuning';
import { Presets, SingleBar } from 'cli-progress';
import { showBytes } from './show.js';

/** What a merge on this machine tells while it works. */
export interface MergeProgress {
  /** What tuning and evaluation run on. */
  device(chosen: ChosenProvider): void;
  /** Bytes of the merge, of weights that are fetched for it, or of the task vectors that a tuning begins with. */
  bytes(stage: 'fetching' | 'tuning' | 'merging', done: number, total: number): void;
  /** After each step of the tuning. */
  step(progress: TuningProgress): void;
  /** Models that were evaluated on a task. */
  evaluated(done: number, total: number): void;
  note(text: string, fields: Record<string, unknown>): void;
  stop(): void;
}

/** One JSON object a line on stdout. */
export function jsonProgress(): MergeProgress {
  const print = (event: string, fields: object) => console.log(JSON.stringify({ event, ...fields }));
  return {
    device: ({ provider, device, tried }) => print('device', { provider, device, tried }),
    bytes: (stage, done, total) => print('progress', { stage, bytes_done: done, bytes_total: total }),
    step: (tuning) => print('progress', { stage: 'tuning', tuning }),
    evaluated: (done, total) => print('progress', { stage: 'evaluating', done, total }),
    note: (text, fields) => print('note', { text, ...fields }),
    stop: () => {},
  };
}

/** A bar for each stage on stderr, when that is a terminal; what is worth a word in any case. */
export function barProgress(): MergeProgress {
  const bars = process.stderr.isTTY ? new Bars() : null;
  return {
    device: ({ device }) => console.error(`device      ${device}`),
    bytes: (stage, done, total) => {
      const title = stage === 'tuning' ? 'task vectors' : stage;
      bars?.show(title, done, total, `${showBytes(done)} of ${showBytes(total)}`);
    },
    step: ({ step, steps, loss }) =>
      bars?.show('tuning', step, steps, `step ${step} of ${steps}, loss ${loss.toFixed(4)}`),
    evaluated: (done, total) => bars?.show('evaluating', done, total, `${done} of ${total}`),
    note: (text) => {
      bars?.stop();
      console.error(`note: ${text}`);
    },
    stop: () => bars?.stop(),
  };
}

/** Bars one after the other: another title begins another bar. */
class Bars {
  #bar: SingleBar | null = null;
  #title = '';

  show(title: string, done: number, total: number, state: string): void {
    if (this.#bar === null || this.#title !== title) {
      this.stop();
      this.#title = title;
      const format = `${title.padEnd(12)} {bar} {percentage}% | {state} | {eta_formatted} left`;
      const options = { format, formatTime, stream: process.stderr, hideCursor: true };
      this.#bar = new SingleBar(options, Presets.shades_classic);
      this.#bar.start(total, 0, { state });
    }
    this.#bar.update(done, { state });
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = null;
  }
}

/** Of the seconds that are left, which at first are not known. */
function formatTime(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
