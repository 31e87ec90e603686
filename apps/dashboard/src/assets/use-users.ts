import type { List, Merge } from '@amalgam/contracts';
import { client } from '../api.js';
import { type Live, useLive } from '../use-live.js';

const MOST = 50;
const EVERY_MS = 5000;

/** The latest merges that take an asset. */
export function useUsers(id: string): Live<List<Merge>> {
  return useLive(`users of ${id}`, (signal) => client.merges.page({ input: [id], limit: MOST }, { signal }), EVERY_MS);
}
