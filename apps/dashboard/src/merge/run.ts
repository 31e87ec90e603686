import type { MergeEvent, MergeStage, Progress, TuningProgress } from '@amalgam/contracts';

/** A stage of the current try; times in milliseconds since 1970. */
export interface StageSpan {
  stage: MergeStage | 'waiting';
  from: number;
  /** Null while it lasts. */
  to: number | null;
}

/** Losses by step, as far as events told them. */
export interface TuningSeries {
  steps: number[];
  /** The sum over tasks. */
  loss: number[];
  /** By task, then step. */
  byTask: number[][];
}

/** How fast a stage goes. */
export interface Rate {
  perSecond: number;
  unit: 'bytes' | 'steps';
  secondsLeft: number;
}

/** Over so long a rate is taken: short enough to follow a change, long enough to be calm. */
const RATE_MS = 10_000;

/** The events of the current try: those from the last time on that the merge was put into the queue. */
export function currentRun(events: readonly MergeEvent[]): readonly MergeEvent[] {
  const begin = events.findLastIndex(({ type }) => type === 'merge.queued');
  return begin < 0 ? events : events.slice(begin);
}

/** When the stages of a run began and ended. */
export function stagesOf(run: readonly MergeEvent[]): StageSpan[] {
  const spans: StageSpan[] = [];
  const enter = (stage: StageSpan['stage'] | null, at: number) => {
    const last = spans.at(-1);
    if (last !== undefined && last.to === null) {
      if (last.stage === stage) return;
      last.to = at;
    }
    if (stage !== null) spans.push({ stage, from: at, to: null });
  };
  for (const event of run) {
    const at = Date.parse(event.created_at);
    if (event.type === 'merge.queued') enter('waiting', at);
    else if (event.type === 'merge.started') enter('planning', at);
    else if (event.type === 'merge.progress') enter(progressOf(event)?.stage ?? null, at);
    else enter(null, at);
  }
  return spans;
}

/** Losses of a run. A tuning that was resumed repeats steps: what it says last is right. */
export function tuningOf(run: readonly MergeEvent[]): TuningSeries {
  const points: TuningProgress[] = [];
  for (const event of run) {
    const tuning = progressOf(event)?.tuning;
    if (tuning === undefined || tuning.step === 0) continue;
    while ((points.at(-1)?.step ?? 0) >= tuning.step) points.pop();
    points.push(tuning);
  }
  return {
    steps: points.map(({ step }) => step),
    loss: points.map(({ loss }) => loss),
    byTask: transpose(points.map(({ losses }) => losses)),
  };
}

/** The series of a finished tuning, of which the report has every step. */
export function tuningOfReport(loss: readonly number[], losses: readonly (readonly number[])[]): TuningSeries {
  return { steps: loss.map((_, i) => i + 1), loss: [...loss], byTask: transpose(losses) };
}

/** How far the run is, by its last word. */
export function lastProgress(run: readonly MergeEvent[]): Progress | null {
  const event = run.findLast(({ type }) => type === 'merge.progress');
  return event === undefined ? null : progressOf(event);
}

/** Speed of the stage that runs, over its last ten seconds; null while it cannot be told. */
export function rateOf(run: readonly MergeEvent[]): Rate | null {
  const last = run.at(-1);
  const end = last === undefined ? null : progressOf(last);
  if (last === undefined || end === null) return null;
  const until = Date.parse(last.created_at);
  const begin = run.find((event) => {
    return progressOf(event)?.stage === end.stage && until - Date.parse(event.created_at) <= RATE_MS;
  });
  const first = begin === undefined ? null : progressOf(begin);
  if (begin === undefined || first === null) return null;
  const seconds = (until - Date.parse(begin.created_at)) / 1000;
  const tuning = end.stage === 'tuning';
  const done = tuning
    ? (end.tuning?.step ?? 0) - (first.tuning?.step ?? 0)
    : end.stage === 'merging'
      ? end.bytes_done - first.bytes_done
      : 0;
  if (seconds <= 0 || done <= 0) return null;
  const left = tuning ? (end.tuning?.steps ?? 0) - (end.tuning?.step ?? 0) : end.bytes_total - end.bytes_done;
  const perSecond = done / seconds;
  return { perSecond, unit: tuning ? 'steps' : 'bytes', secondsLeft: left / perSecond };
}

/** What a progress event says; null for the others. */
function progressOf({ type, data }: MergeEvent): Progress | null {
  return type === 'merge.progress' ? (data as unknown as Progress) : null;
}

/** Rows of steps to rows of tasks. */
function transpose(rows: readonly (readonly number[])[]): number[][] {
  const tasks = rows[0]?.length ?? 0;
  return Array.from({ length: tasks }, (_, task) => rows.map((row) => row[task] ?? Number.NaN));
}
