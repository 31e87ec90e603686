import { AmalgamError, quote } from '@amalgam/contracts';
import { isByRow, type MergeMethod, type Settings } from '@amalgam/methods';
import type { Job, Naming } from './job.js';
import { sparsifyByTensor, sparsifyEach } from './job-settings.js';
import type { MergedTensor } from './types.js';

/** Tensors whose entries share a ranking by magnitude: all that some models have, or one. */
export interface Group {
  tensors: { index: number; elements: number }[];
  elements: number;
  /** What `models` and searches call models by. */
  naming: Naming;
  models: { model: number; density: number; outliers: number }[];
}

/** What has to be ranked over whole models or tensors; models that are merged into the same tensors share a group. */
export function rankedGroups(job: Job): Group[] {
  const sparsify = sparsifyByTensor(job);
  const groups: Group[] = [];
  const ofModels = new Map<number, Group>();
  job.tensors.forEach(({ elements, columns }, index) => {
    const own = sparsify[index];
    if (own?.by !== 'magnitude' || isByRow(own)) return;
    const tensors = [{ index, elements }];
    const toModel = (model: number, place: number) => ({
      model,
      density: own.densities[place]!,
      outliers: own.outliers[place]!,
    });
    if (own.scope === 'tensor') {
      groups.push({ tensors, elements, naming: 'place', models: columns.map((_, place) => toModel(place, place)) });
      return;
    }
    columns.forEach((column, place) => {
      const group = ofModels.get(column);
      if (group === undefined) {
        ofModels.set(column, { tensors: [...tensors], elements, naming: 'column', models: [toModel(column, place)] });
      } else {
        group.tensors.push(...tensors);
        group.elements += elements;
      }
    });
  });
  return [...groups, ...shared([...ofModels.values()])];
}

/** @throws AmalgamError `invalid_recipe` for a model that is in a tensor twice: its entries there have no order among each other. */
export function checkRankings(
  method: MergeMethod,
  settings: Settings[],
  merged: readonly Pick<MergedTensor, 'name' | 'columns' | 'settings'>[],
): void {
  const sparsify = sparsifyEach(method, settings);
  const broken = merged.find(({ columns, settings: own }) => {
    const rule = sparsify[own];
    return rule?.by === 'magnitude' && rule.scope === 'model' && new Set(columns).size < columns.length;
  });
  if (broken === undefined) return;
  const detail = `${quote(broken.name)} is merged from one model twice, which a ranking over whole models cannot tell apart; scope tensor can`;
  throw new AmalgamError('invalid_recipe', detail, { errors: [{ pointer: '/parameters/scope', detail }] });
}

/** One group for models with the same tensors: their entries are then read and counted together. */
function shared(groups: Group[]): Group[] {
  const byTensors = new Map<string, Group>();
  for (const group of groups) {
    const key = group.tensors.map(({ index }) => index).join();
    const known = byTensors.get(key);
    if (known === undefined) byTensors.set(key, group);
    else known.models.push(...group.models);
  }
  return [...byTensors.values()];
}
