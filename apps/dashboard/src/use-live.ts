import { useCallback, useEffect, useRef, useState } from 'react';
import { isAbort, isSignedOut, type Trouble, toTrouble } from './api.js';
import type { News } from './live/feed.js';
import { feed } from './live/use-feed.js';
import { useSession } from './session.js';

export interface Live<T> {
  /** Undefined until the first answer. */
  data: T | undefined;
  /** Of the last try; what was shown before it stays. */
  trouble: Trouble | null;
  /** Changes what is shown, until the next answer. */
  update(change: (data: T) => T): void;
  /** Asks again soon. */
  again(): void;
}

/** What to follow in place of asking every so often. */
export interface Following {
  /** Whether news changes what is shown. */
  on(news: News): boolean;
  /** Asks every so many milliseconds all the same, for what no news tells; default: does not. */
  restMs?: number;
}

/** Why it is asked: `news` came, or all of it is looked at. */
export type Why = 'look' | 'news';

/** However much news comes, it is asked no more often. */
const NEWS_EVERY_MS = 1000;
/** Much news comes in company. */
const SETTLE_MS = 100;

/**
 * What `load` answers, asked for again every `everyMs` milliseconds while the page is in view; 0 asks once. With `following`
 * it is asked every so often only while the stream of events is not there, else when there is news. A change of `key` begins anew.
 */
export function useLive<T>(
  key: string,
  load: (signal: AbortSignal, why: Why) => Promise<T>,
  everyMs: number,
  following?: Following,
): Live<T> {
  const { onSignedOut } = useSession();
  const [held, setHeld] = useState<{ key: string; data: T } | null>(null);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const current = useRef({ load, onSignedOut, following });
  current.current = { load, onSignedOut, following };
  const wanted = useRef((_why: Why) => {});
  const follows = following !== undefined;

  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let asking = false;
    let askedAt = 0;
    let next: { why: Why; at: number } | null = null;

    const restMs = () => {
      if (!follows || feed.state !== 'live') return everyMs;
      return current.current.following?.restMs ?? 0;
    };
    const plan = () => {
      clearTimeout(timer);
      if (asking || end.signal.aborted || document.visibilityState !== 'visible') return;
      const rest = restMs();
      if (next !== null) timer = setTimeout(ask, Math.max(0, next.at - performance.now()));
      else if (rest > 0) timer = setTimeout(ask, rest);
    };
    const want = (why: Why) => {
      const at = next?.at ?? Math.max(performance.now() + SETTLE_MS, askedAt + NEWS_EVERY_MS);
      next = { at, why: next?.why === 'look' ? 'look' : why };
      plan();
    };
    const ask = async () => {
      if (asking) return;
      asking = true;
      const why = next?.why ?? 'look';
      next = null;
      askedAt = performance.now();
      try {
        const data = await current.current.load(end.signal, why);
        if (end.signal.aborted) return;
        setHeld({ key, data });
        setTrouble(null);
      } catch (error) {
        if (end.signal.aborted || isAbort(error)) return;
        if (isSignedOut(error)) return current.current.onSignedOut();
        setTrouble(toTrouble(error));
      } finally {
        asking = false;
      }
      plan();
    };
    const onVisible = () => {
      if (everyMs > 0 && document.visibilityState === 'visible') want('look');
      else plan();
    };
    void ask();
    wanted.current = want;
    document.addEventListener('visibilitychange', onVisible);
    const ends = follows
      ? [
          feed.subscribe((news) => {
            if (current.current.following?.on(news)) want('news');
          }),
          // Live again: what happened meanwhile was not told.
          feed.watch(() => (feed.state === 'live' ? want('look') : plan())),
        ]
      : [];
    return () => {
      end.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', onVisible);
      for (const close of ends) close();
    };
  }, [key, everyMs, follows]);

  const update = useCallback(
    (change: (data: T) => T) => {
      setHeld((now) => (now?.key === key ? { key, data: change(now.data) } : now));
    },
    [key],
  );
  const again = useCallback(() => wanted.current('news'), []);
  return { data: held?.key === key ? held.data : undefined, trouble, update, again };
}
