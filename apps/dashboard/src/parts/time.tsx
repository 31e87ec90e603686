import { useSyncExternalStore } from 'react';
import { showRelative } from '../format.js';

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let now = Date.now();

/** One clock for the whole page; it stands still while nobody reads it. */
function subscribe(changed: () => void): () => void {
  listeners.add(changed);
  now = Date.now();
  timer ??= setInterval(() => {
    now = Date.now();
    for (const listener of listeners) listener();
  }, 1000);
  return () => {
    listeners.delete(changed);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** Milliseconds since 1970, true to the second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** How long ago, with the exact time for whoever points at it; `exact` writes it out. */
export function Time({ at, exact = false }: { at: string; exact?: boolean }) {
  const relative = showRelative(Date.parse(at), useNow());
  const text = EXACT.format(new Date(at));
  return (
    <time dateTime={at} title={`${text} (${at})`}>
      {exact ? `${text}, ${relative}` : relative}
    </time>
  );
}
