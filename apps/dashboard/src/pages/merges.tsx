import { isFinal, type Merge } from '@amalgam/contracts';
import { useCallback, useMemo, useRef, useState } from 'react';
import { client, isSignedOut, type Trouble, toTrouble } from '../api.js';
import { type Held, withFirstPage, withNews, withOlderPage } from '../merge-list.js';
import { BulkBar } from '../merges/bulk-bar.js';
import { type Filter, isNarrow, isState, readFilter, toQuery } from '../merges/filter.js';
import { Filters } from '../merges/filters.js';
import { MergeRows } from '../merges/merge-rows.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { hrefOf } from '../router.js';
import { useSession } from '../session.js';
import { useLive } from '../use-live.js';

const PAGE = 100;
/** The newest of them are asked for again and again. */
const NEWEST = 40;
const EVERY_MS = 2500;
/** Rows below the first page that are asked for one by one, since they may still change. */
const MOST_SINGLE = 20;

/** All merges, the newest first, with filters in the page's address. */
export function MergesPage({ query }: { query: URLSearchParams }) {
  const filter = readFilter(query);
  return (
    <>
      <div className="title">
        <h1>Merges</h1>
        <span className="actions">
          <a className="button" href={hrefOf(['new'])}>
            New merge
          </a>
        </span>
      </div>
      <Filters filter={filter} />
      <MergeTable key={JSON.stringify(filter)} filter={filter} />
    </>
  );
}

function MergeTable({ filter }: { filter: Filter }) {
  const { onSignedOut } = useSession();
  const narrowed = toQuery(filter);
  const wanted = ({ state }: Merge) => !isState(filter.state) || state === filter.state;
  const [held, setHeld] = useState<Held | null>(null);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [moreTrouble, setMoreTrouble] = useState<Trouble | null>(null);
  const loading = useRef(false);

  const load = async (signal: AbortSignal): Promise<void> => {
    const first = await client.merges.page({ ...narrowed, limit: held === null ? PAGE : NEWEST }, { signal });
    const ids = new Set(first.data.map(({ id }) => id));
    const open = held?.rows.filter((merge) => !isFinal(merge.state) && !ids.has(merge.id)).slice(0, MOST_SINGLE) ?? [];
    const fresh = await Promise.all(open.map(({ id }) => client.merges.get(id, { signal })));
    setHeld((now) => withFirstPage(now, first, fresh, wanted));
  };
  const { trouble } = useLive('merges', load, EVERY_MS);

  const loadMore = async (after: string) => {
    if (loading.current) return;
    loading.current = true;
    setMoreTrouble(null);
    try {
      const page = await client.merges.page({ ...narrowed, limit: PAGE, after });
      setHeld((now) => (now === null ? now : withOlderPage(now, page)));
    } catch (error) {
      if (isSignedOut(error)) onSignedOut();
      else setMoreTrouble(toTrouble(error));
    }
    loading.current = false;
  };
  const cursor = held?.cursor ?? null;
  const more = useRef(() => {});
  more.current = () => {
    // After a failure it is the reader who tries again.
    if (cursor !== null && moreTrouble === null) void loadMore(cursor);
  };
  const onEnd = useCallback(() => more.current(), []);
  const onChoose = useCallback((ids: readonly string[], wants: boolean) => {
    setChosen((now) => {
      const next = new Set(now);
      for (const id of ids) {
        if (wants) next.add(id);
        else next.delete(id);
      }
      return next;
    });
  }, []);
  const selected = useMemo(() => held?.rows.filter(({ id }) => chosen.has(id)) ?? [], [held, chosen]);

  if (held === null) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;
  return (
    <>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {selected.length === 0 ? null : (
        <BulkBar
          chosen={selected}
          onChanged={(merges) => setHeld((now) => (now === null ? now : withNews(now, merges, wanted)))}
          onClear={() => setChosen(new Set())}
        />
      )}
      {held.rows.length === 0 ? (
        <Empty>
          {isNarrow(filter) ? (
            'No merge is like that.'
          ) : (
            <>
              No merge yet. <a href={hrefOf(['new'])}>Make one</a>, and it shows here while it runs.
            </>
          )}
        </Empty>
      ) : (
        <MergeRows rows={held.rows} chosen={chosen} onChoose={onChoose} onEnd={onEnd} />
      )}
      {moreTrouble === null ? null : <TroubleNote trouble={moreTrouble} />}
      {cursor === null ? null : (
        <p className="center">
          <button type="button" onClick={() => loadMore(cursor)}>
            Load more
          </button>
        </p>
      )}
    </>
  );
}
