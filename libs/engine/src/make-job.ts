import { getMethod, isOverVectors } from '@amalgam/methods';
import type { Job, JobSource, JobStored, JobTensor } from './job.js';
import { rowLength } from './memory.js';
import { keptRows } from './row-shares.js';
import { mapStored, type RowPicks, type Source, type Stored } from './source.js';
import type { MergePlan } from './types.js';

/** A plan as its threads need it, and the places that its files have there. */
export function makeJob(
  plan: MergePlan,
  { pathOf }: { pathOf(input: number, file: string): string },
  { outWidth, coefficients }: Pick<Job, 'outWidth' | 'coefficients'>,
): { job: Job; inputIndex(input: number, file: string): number } {
  const inputs: string[] = [];
  const indices = new Map<string, number>();
  const inputIndex = (input: number, file: string): number => {
    const key = `${input}/${file}`;
    let index = indices.get(key);
    if (index === undefined) {
      index = inputs.push(pathOf(input, file)) - 1;
      indices.set(key, index);
    }
    return index;
  };
  const toStored = ({ kind, input, file, begin, dtype }: Stored): JobStored => {
    return { kind, input: inputIndex(input, file), begin, dtype };
  };
  const share = pickSharer();
  const toSource = (source: Source): JobSource => {
    const own = mapStored<Stored, JobStored>(source, toStored);
    return own.kind === 'rows' ? { ...own, pick: share(own.pick) } : own;
  };
  const method = getMethod(plan.recipe.method);
  const tensors = plan.merged.map(
    ({ name, shape, elements, base, models, columns, settings, dtype, begin }): JobTensor => ({
      name,
      elements,
      row: rowLength(shape),
      known: method.keepsRows === true ? unknownRows(keptRows(rowLength(shape), elements)) : null,
      across: shape.slice(1).reduce((product, size) => product * size, 1),
      base: base === null ? null : toSource(base),
      models: models.map(toSource),
      columns,
      settings,
      overVectors: isOverVectors(method, base !== null),
      dtype,
      begin,
    }),
  );
  const copies = [...plan.copied, ...plan.heads].map(({ from }) => (from.kind === 'stored' ? null : toSource(from)));
  const job: Job = {
    inputs,
    tensors,
    copies,
    method: plan.recipe.method,
    settings: plan.settings,
    coefficients,
    chunkElements: plan.chunkElements,
    outWidth,
    models: tensors.reduce((most, { models }) => Math.max(most, models.length), 0),
    progress: new SharedArrayBuffer(8),
    stop: new SharedArrayBuffer(4),
  };
  for (const { from } of [...plan.copied, ...plan.heads]) if (from.kind === 'stored') toStored(from);
  return { job, inputIndex };
}

/** Numbers of rows that no thread has worked out yet; null where there are none. */
function unknownRows(count: number): Float64Array | null {
  return count === 0 ? null : new Float64Array(new SharedArrayBuffer(count * 8)).fill(Number.NaN);
}

/** Puts lists of rows, which have a number for each token, where all threads see the same ones. */
function pickSharer(): (pick: RowPicks) => RowPicks {
  const shared = new Map<RowPicks, RowPicks>();
  return (pick) => {
    const known = shared.get(pick);
    if (known !== undefined) return known;
    const { rows, starts, begins, inputs, firstRows } = pick;
    const made = {
      rows,
      starts: toShared(starts),
      begins: toShared(begins),
      inputs: toShared(inputs),
      firstRows: toShared(firstRows),
    };
    shared.set(pick, made);
    return made;
  };
}

function toShared(list: Int32Array): Int32Array {
  const shared = new Int32Array(new SharedArrayBuffer(list.byteLength));
  shared.set(list);
  return shared;
}
