import { isFinal, isRetryable, type Merge } from '@amalgam/contracts';
import { client, type Trouble, toTrouble } from '../api.js';

export const ACTIONS = {
  Cancel: { call: client.merges.cancel, fits: ({ state }: Merge) => !isFinal(state) },
  Retry: { call: client.merges.retry, fits: ({ state }: Merge) => isRetryable(state) },
} as const;
export type Action = keyof typeof ACTIONS;

/** Requests at a time. */
const AT_ONCE = 4;

/** What came of doing one thing to many merges. */
export interface Outcome {
  changed: Merge[];
  troubles: Trouble[];
}

/** Does it to each, a few at a time; what fails keeps no other from its turn. */
export async function actOn(
  merges: readonly Merge[],
  call: (id: string) => Promise<Merge>,
  onStep: (done: number) => void,
): Promise<Outcome> {
  const outcome: Outcome = { changed: [], troubles: [] };
  const queue = merges.map(({ id }) => id);
  let done = 0;
  const work = async () => {
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      try {
        outcome.changed.push(await call(id));
      } catch (error) {
        outcome.troubles.push(toTrouble(error));
      }
      onStep(++done);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return outcome;
}
