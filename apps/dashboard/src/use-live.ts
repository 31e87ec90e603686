import { useEffect, useRef, useState } from 'react';
import { isAbort, isSignedOut, type Trouble, toTrouble } from './api.js';
import { useSession } from './session.js';

export interface Live<T> {
  /** Undefined until the first answer. */
  data: T | undefined;
  /** Of the last try; what was shown before it stays. */
  trouble: Trouble | null;
}

/**
 * What `load` answers, asked for again every `everyMs` milliseconds while the page is in view; 0 asks once. A change of
 * `key` begins anew.
 */
export function useLive<T>(key: string, load: (signal: AbortSignal) => Promise<T>, everyMs: number): Live<T> {
  const { onSignedOut } = useSession();
  const [held, setHeld] = useState<{ key: string; data: T } | null>(null);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const current = useRef({ load, onSignedOut });
  current.current = { load, onSignedOut };

  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      clearTimeout(timer);
      try {
        const data = await current.current.load(end.signal);
        if (end.signal.aborted) return;
        setHeld({ key, data });
        setTrouble(null);
      } catch (error) {
        if (end.signal.aborted || isAbort(error)) return;
        if (isSignedOut(error)) return current.current.onSignedOut();
        setTrouble(toTrouble(error));
      }
      if (everyMs > 0 && document.visibilityState === 'visible') timer = setTimeout(ask, everyMs);
    };
    const onVisible = () => {
      if (everyMs > 0 && document.visibilityState === 'visible') void ask();
    };
    void ask();
    document.addEventListener('visibilitychange', onVisible);
    return () => {
      end.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', onVisible);
    };
  }, [key, everyMs]);

  return { data: held?.key === key ? held.data : undefined, trouble };
}
