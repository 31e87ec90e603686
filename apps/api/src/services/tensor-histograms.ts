import { AmalgamError, quote, type TensorHistogram } from '@amalgam/contracts';
import type { AssetRow } from '@amalgam/database';
import { openAsset, readHistogram } from '@amalgam/runtime';
import type { Api } from '../types.js';

/** Some 500 bytes each. */
const MOST_KEPT = 500;
/** Each holds up to 64 MiB, one after the other; more than that are told to come again. */
const MOST_WAITING = 8;

/** Histograms of tensors by checkpoint, name and bins, those that were asked for last: a checkpoint that is ready never changes. */
export class TensorHistograms {
  readonly #kept = new Map<string, Promise<TensorHistogram>>();
  #waiting = 0;

  constructor(private readonly app: Pick<Api, 'parts' | 'config'>) {}

  /** @throws AmalgamError `not_found`, `checkpoint_not_ready`, `unavailable`; what reading throws */
  async get(row: AssetRow, name: string, bins: number): Promise<TensorHistogram> {
    const { parts, config } = this.app;
    const { id, projectId } = row;
    if (row.state !== 'ready') throw new AmalgamError('checkpoint_not_ready', `${id} is ${row.state}`);
    const key = JSON.stringify([id, name, bins]);
    const kept = this.#kept.get(key);
    if (kept !== undefined) return kept;

    const work = async () => {
      if (this.#waiting >= MOST_WAITING) {
        throw new AmalgamError('unavailable', `${this.#waiting} histograms are being worked out; ask again in a while`);
      }
      this.#waiting++;
      try {
        const inventory = await parts.database.checkpoints.inventory(projectId, id);
        const tensor = inventory?.tensors.find((candidate) => candidate.name === name);
        if (tensor === undefined) throw new AmalgamError('not_found', `${id} has no tensor ${quote(name)}`);
        return await readHistogram(await openAsset(parts, config, row), tensor, bins);
      } finally {
        this.#waiting--;
      }
    };
    const made = work();
    this.#kept.set(key, made);
    made.catch(() => this.#kept.delete(key));
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST_KEPT) break;
      this.#kept.delete(oldest);
    }
    return made;
  }
}
