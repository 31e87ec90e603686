import { isId } from '@amalgam/contracts';
import type { Database } from '@amalgam/database';
import type { ObjectInfo, ObjectStore } from '@amalgam/storage';

const RESULTS = 'results/';
const PAGE = 1_000;

/**
 * Removes objects below `results/` that no result names, of merges that ended longer than `graceMs` ago: until then a
 * retry can use them. One page of the listing a turn, so a turn costs little whatever the store holds.
 */
export class OrphanSweep {
  #cursor: string | null = null;

  constructor(
    private readonly database: Database,
    private readonly store: ObjectStore,
    private readonly graceMs: number,
  ) {}

  /** Returns how many objects were removed. */
  async turn(): Promise<number> {
    const page = await this.store.list(RESULTS, {
      limit: PAGE,
      ...(this.#cursor === null ? {} : { cursor: this.#cursor }),
    });
    this.#cursor = page.next_cursor;
    const byMerge = new Map<string, ObjectInfo[]>();
    for (const object of page.objects) {
      const id = object.key.slice(RESULTS.length).split('/', 1)[0] ?? '';
      // Whatever else somebody keeps here is not ours to remove.
      if (isId('merge', id)) byMerge.set(id, [...(byMerge.get(id) ?? []), object]);
    }
    const owners = await this.database.reconciler.resultOwners([...byMerge.keys()], this.graceMs);
    const known = new Map(owners.map((owner) => [owner.id, owner]));
    let removed = 0;
    for (const [id, objects] of byMerge) {
      const owner = known.get(id);
      if (owner !== undefined && !owner.settled) continue;
      const kept = owner?.storePrefix ?? null;
      removed += await this.#remove(id, objects, kept);
    }
    return removed;
  }

  async #remove(mergeId: string, objects: ObjectInfo[], keptPrefix: string | null): Promise<number> {
    const limit = Date.now() - this.graceMs;
    const orphans = objects.filter(
      ({ key, modified }) => modified.getTime() < limit && (keptPrefix === null || !key.startsWith(`${keptPrefix}/`)),
    );
    if (orphans.length === 0) return 0;
    // First the rows: an attempt that begins now must not count on shards that are about to go.
    if (keptPrefix === null) await this.database.shards.removeAll(mergeId);
    for (const { key } of orphans) await this.store.delete(key);
    return orphans.length;
  }
}
