import { AmalgamError, type Recipe } from '@amalgam/contracts';
import { reducePairwise } from '@amalgam/kernels';
import {
  type Found,
  getMethod,
  type MergeMethod,
  type Ranking,
  type Settings,
  type Sums,
  type Survey,
} from '@amalgam/methods';
import { allOrFirstFailure } from './gather.js';
import type { Job } from './job.js';
import { HISTOGRAM_BYTES } from './memory.js';
import { cutAt, type Group, keyToValue, type Order, type RunTask } from './order.js';
import { GROUPS_AT_ONCE, mapLimited, searchGroup } from './search.js';
import { toTasks } from './spans.js';
import type { Bands } from './trim.js';

/** Elements and tensors that a task covers, as in gather.ts. */
const TASK_ELEMENTS = 2 ** 21;
const TASK_SPANS = 2 ** 12;

const made = new WeakMap<Settings, Survey[]>();

/** A method's surveys under some settings, made once. */
export function surveysOf(method: string, settings: Settings): Survey[] {
  let surveys = made.get(settings);
  if (surveys === undefined) {
    surveys = getMethod(method).surveys?.(settings) ?? [];
    made.set(settings, surveys);
  }
  return surveys;
}

/**
 * @throws AmalgamError `invalid_recipe` when a survey of whole models meets tensors that are made of different ones
 */
export function checkSurveys(
  recipe: Recipe,
  method: MergeMethod,
  merged: readonly { columns: number[]; settings: number }[],
  settings: Settings[],
): void {
  const whole = merged.filter((tensor) =>
    surveysOf(method.name, settings[tensor.settings]!).some(({ scope }) => scope === 'model'),
  );
  const first = whole[0]?.columns.join();
  if (whole.every(({ columns }) => columns.join() === first)) return;
  const pointer = recipe.slices === undefined ? '/modules' : '/slices';
  const detail = `${method.name} measures whole models here, so every slice and module must merge the same ones in the same order`;
  throw new AmalgamError('invalid_recipe', detail, { errors: [{ pointer, detail }] });
}

/**
 * Makes the method's surveys one after the other. Returns what they found, by tensor and survey; null for methods that make none.
 *
 * @throws AmalgamError `checkpoint_changed`, and what the method's surveys throw
 */
export async function findSurveys(job: Job, bands: Bands | null, run: RunTask): Promise<Found[][] | null> {
  const lists = job.tensors.map(({ settings }) => surveysOf(job.method, job.settings[settings]!));
  const most = lists.reduce((count, list) => Math.max(count, list.length), 0);
  if (most === 0) return null;
  const found: Found[][] = lists.map(() => []);
  for (let survey = 0; survey < most; survey++) {
    const tensors = job.tensors.flatMap(({ elements }, index) =>
      lists[index]!.length > survey ? [{ index, elements }] : [],
    );
    const rankings = tensors.filter(({ index }) => lists[index]![survey]!.kind === 'ranking');
    const sums = tensors.filter(({ index }) => lists[index]![survey]!.kind === 'sums');
    await rank(job, survey, rankings, (index) => lists[index]![survey] as Ranking, found, run);
    await addUp(job, survey, sums, (index) => lists[index]![survey] as Sums, found, bands, run);
  }
  return found;
}

type Tensors = Group['tensors'];

/** Tensors that share what is found: those of scope model together, each other one by itself. */
function toGroups<T extends Survey>(tensors: Tensors, surveyAt: (index: number) => T): { survey: T; group: Group }[] {
  const shared = tensors.filter(({ index }) => surveyAt(index).scope === 'model');
  const groups = tensors.filter(({ index }) => surveyAt(index).scope === 'tensor').map((tensor) => [tensor]);
  if (shared.length > 0) groups.push(shared);
  return groups.map((own) => ({
    survey: surveyAt(own[0]!.index),
    group: { tensors: own, elements: own.reduce((sum, { elements }) => sum + elements, 0) },
  }));
}

async function rank(
  job: Job,
  index: number,
  tensors: Tensors,
  surveyAt: (index: number) => Ranking,
  found: Found[][],
  run: RunTask,
): Promise<void> {
  const groups = toGroups(tensors, surveyAt);
  // Groups are independent; a few at a time keep all threads busy and share the memory for histograms.
  const atOnce = Math.min(groups.length, GROUPS_AT_ONCE);
  const earlier = found.map((own) => own.slice());
  await mapLimited(groups, atOnce, async ({ survey, group }) => {
    const { elements } = group;
    const first = group.tensors[0]!.index;
    const columns = elements === 0 ? 0 : survey.of === 'all' ? 1 : job.tensors[first]!.models.length;
    const wanted = Array.from({ length: columns }, (_, column) =>
      survey.places({ elements, column, found: earlier[first]! }),
    );
    const searches = wanted.flatMap((ranks, column) => ranks.map((rank) => ({ model: column, rank })));
    for (const { rank } of searches) {
      if (typeof rank !== 'number' || (Number.isInteger(rank) && rank >= 1 && rank <= elements)) continue;
      throw new AmalgamError('internal', `${job.method} asks for place ${rank} of ${elements} entries`);
    }
    const signed = survey.order === 'value';
    const tiesMatter = survey.valuesOnly !== true;
    const order: Order = { survey: index, signed, naming: 'place', found: earlier, tiesMatter };
    const places = await searchGroup(job, order, group, searches, HISTOGRAM_BYTES / atOnce, run);
    for (const tensor of group.tensors) {
      let next = 0;
      const marks = wanted.map((ranks) =>
        ranks.flatMap(() => {
          const place = places[next++] ?? null;
          return place === null
            ? []
            : [{ value: keyToValue(place.key, signed), tieEnd: cutAt(place, tensor.index).tieEnd }];
        }),
      );
      found[tensor.index]![index] = { kind: 'marks', columns: marks };
    }
  });
}

async function addUp(
  job: Job,
  index: number,
  tensors: Tensors,
  surveyAt: (index: number) => Sums,
  found: Found[][],
  bands: Bands | null,
  run: RunTask,
): Promise<void> {
  const chunks = new Map<number, number[][]>(tensors.map((tensor) => [tensor.index, []]));
  const tasks = toTasks(tensors, job.chunkElements, TASK_ELEMENTS, TASK_SPANS).map(async (spans) => ({
    spans,
    parts: await run<number[][][]>({
      kind: 'sums',
      spans,
      survey: { index, found: spans.map(({ tensor }) => found[tensor]!) },
      bands: bands === null ? null : spans.map(({ tensor }) => bands.byTensor[tensor]!),
    }),
  }));
  for (const { spans, parts } of await allOrFirstFailure(tasks)) {
    spans.forEach((span, i) => {
      chunks.get(span.tensor)!.push(...parts[i]!);
    });
  }
  for (const { survey, group } of toGroups(tensors, surveyAt)) {
    const own = group.tensors
      .filter(({ elements }) => elements > 0)
      .map((tensor) => {
        const sums = addColumns(chunks.get(tensor.index)!);
        survey.check?.(sums, job.tensors[tensor.index]!.name);
        return { elements: tensor.elements, sums };
      });
    const sums =
      survey.scope === 'model' && survey.join ? survey.join(own) : addColumns(own.map((tensor) => tensor.sums));
    for (const tensor of group.tensors) found[tensor.index]![index] = { kind: 'sums', sums };
  }
}

/** Sums of lists of equal length, place by place, over a fixed tree. */
export function addColumns(lists: number[][]): number[] {
  return (lists[0] ?? []).map((_, at) => reducePairwise(lists.map((list) => list[at]!)));
}
