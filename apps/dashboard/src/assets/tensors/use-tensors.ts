import { useEffect, useState } from 'react';
import { client, isAbort, isSignedOut, type Trouble, toTrouble } from '../../api.js';
import { useSession } from '../../session.js';
import { type Row, toRow } from './sort-tensors.js';

const PAGE = 10_000;

/** All tensors of a checkpoint, page after page; what has come is there at once. */
export function useTensors(id: string): { rows: readonly Row[]; done: boolean; trouble: Trouble | null } {
  const { onSignedOut } = useSession();
  const [rows, setRows] = useState<readonly Row[]>([]);
  const [done, setDone] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  useEffect(() => {
    const end = new AbortController();
    const load = async () => {
      let all: Row[] = [];
      for (let after: string | undefined; ; ) {
        const query = { limit: PAGE, ...(after === undefined ? {} : { after }) };
        const page = await client.checkpoints.tensorPage(id, query, { signal: end.signal });
        all = [...all, ...page.data.map(toRow)];
        setRows(all);
        if (page.next_cursor === null) return setDone(true);
        after = page.next_cursor;
      }
    };
    load().catch((error: unknown) => {
      if (end.signal.aborted || isAbort(error)) return;
      if (isSignedOut(error)) onSignedOut();
      else setTrouble(toTrouble(error));
    });
    return () => end.abort();
  }, [id, onSignedOut]);
  return { rows, done, trouble };
}
