import { isFinal, type Merge, type MergeEvent, type Report } from '@amalgam/contracts';
import { useCallback, useEffect, useState } from 'react';
import { client, isAbort, isSignedOut, type Trouble, toTrouble } from '../api.js';
import { whileSeen } from '../live/while-seen.js';
import { useSession } from '../session.js';

/** Whether events arrive: `ended` when none will come. */
export type Connection = 'connecting' | 'live' | 'broken' | 'ended';

export interface WatchedMerge {
  merge: Merge | null;
  events: readonly MergeEvent[];
  /** Null until it has succeeded. */
  report: Report | null;
  connection: Connection;
  trouble: Trouble | null;
  /** Shows what a call answered, and follows what comes of it. */
  changed(merge: Merge): void;
}

/** Events that come together are drawn together. */
const DRAW_MS = 100;
/** Between two tries of a stream that cannot be had. */
const AGAIN_MS = 3000;

/** A merge, its events as they are written, and its report when there is one. */
export function useMerge(id: string): WatchedMerge {
  const { onSignedOut } = useSession();
  const [merge, setMerge] = useState<Merge | null>(null);
  const [events, setEvents] = useState<readonly MergeEvent[]>([]);
  const [report, setReport] = useState<Report | null>(null);
  const [connection, setConnection] = useState<Connection>('connecting');
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const [begun, setBegun] = useState(0);

  const failed = useCallback(
    (error: unknown) => {
      if (isSignedOut(error)) onSignedOut();
      else if (!isAbort(error)) setTrouble(toTrouble(error));
    },
    [onSignedOut],
  );

  useEffect(() => {
    const seen: MergeEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = () => {
      timer = undefined;
      setEvents([...seen]);
    };
    const reload = async (signal: AbortSignal) => {
      const now = await client.merges.get(id, { signal });
      setMerge(now);
      if (now.state === 'succeeded') setReport(await client.merges.report(id, { signal }));
    };
    const follow = async (signal: AbortSignal) => {
      // The connection is made again within; only when that has failed many times does it come out of the loop.
      for await (const event of client.merges.events(id, { signal, after: seen.at(-1)?.seq ?? 0 })) {
        seen.push(event);
        setConnection('live');
        timer ??= setTimeout(draw, DRAW_MS);
        if (event.type !== 'merge.progress') reload(signal).catch(failed);
      }
    };
    const watch = async (signal: AbortSignal) => {
      await reload(signal);
      setTrouble(null);
      await follow(signal);
      // What the last event changed, and once more, for the end of the stream is the end of what is told.
      await reload(signal);
      draw();
      setConnection('ended');
    };
    const watching = async (signal: AbortSignal) => {
      while (!signal.aborted) {
        try {
          return await watch(signal);
        } catch (error) {
          if (signal.aborted) return;
          failed(error);
          const known = toTrouble(error).code;
          if (known !== 'unavailable' && known !== 'internal') return;
          setConnection('broken');
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        }
      }
    };
    setConnection(begun === 0 ? 'connecting' : 'live');
    const stop = whileSeen((signal) => void watching(signal));
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [id, begun, failed]);

  const changed = useCallback((now: Merge) => {
    setMerge(now);
    setTrouble(null);
    // A stream that has ended says nothing of a retry.
    if (!isFinal(now.state)) setBegun((n) => n + 1);
  }, []);

  return { merge, events, report, connection, trouble, changed };
}
