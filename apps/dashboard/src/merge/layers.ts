import type { Report } from '@amalgam/contracts';
import { groupColumns } from '../charts/groups.js';

/** What happened to the task vectors in one layer, over all its tensors, each counted by its elements. */
export interface LayerShares {
  /** `encoder.blocks.3`, or `other`. */
  layer: string;
  tensors: number;
  /** Share of the task vectors’ entries that was set to zero, over all models; null where nothing was trimmed. */
  trimmed: number | null;
  /** Share of entries whose surviving task vectors disagree in sign; null where the method elects no sign. */
  conflicts: number | null;
}

/** Shares by layer, the first layer first; empty where the report has neither. */
export function sharesByLayer({ tensors }: Pick<Report, 'tensors'>): LayerShares[] {
  const layers = new Map<string, { tensors: number; trimmed: Mean; conflicts: Mean }>();
  for (const { index, group } of groupColumns(tensors.map(({ name }) => name))) {
    const tensor = tensors[index];
    if (tensor === undefined || (tensor.trimmed === undefined && tensor.sign_conflicts === undefined)) continue;
    const layer = layers.get(group) ?? { tensors: 0, trimmed: new Mean(), conflicts: new Mean() };
    layers.set(group, layer);
    layer.tensors++;
    for (const share of tensor.trimmed ?? []) layer.trimmed.add(share, tensor.elements);
    if (tensor.sign_conflicts !== undefined) layer.conflicts.add(tensor.sign_conflicts, tensor.elements);
  }
  return [...layers].map(([layer, { tensors: count, trimmed, conflicts }]) => ({
    layer,
    tensors: count,
    trimmed: trimmed.value,
    conflicts: conflicts.value,
  }));
}

class Mean {
  #sum = 0;
  #weight = 0;

  add(value: number, weight: number): void {
    this.#sum += value * weight;
    this.#weight += weight;
  }

  get value(): number | null {
    return this.#weight === 0 ? null : this.#sum / this.#weight;
  }
}
