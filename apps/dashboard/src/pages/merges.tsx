import { isFinal, type Merge } from '@amalgam/contracts';
import { useCallback, useMemo, useRef, useState } from 'react';
import { client, isSignedOut, type Trouble, toTrouble } from '../api.js';
import type { News } from '../live/feed.js';
import { feed, useNews } from '../live/use-feed.js';
import { type Held, withFirstPage, withNews, withOlderPage, withProgress } from '../merge-list.js';
import { BulkBar } from '../merges/bulk-bar.js';
import { type Filter, isNarrow, isState, readFilter, toQuery } from '../merges/filter.js';
import { Filters } from '../merges/filters.js';
import { MergeRows } from '../merges/merge-rows.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { hrefOf } from '../router.js';
import { useSession } from '../session.js';
import { useLive, type Why } from '../use-live.js';

const PAGE = 100;
/** The newest of them are asked for again when there is news. */
const NEWEST = 40;
/** While the stream of events is not there. */
const EVERY_MS = 2500;
/** Rows below the first page that are asked for one by one at a time, since they have changed or may have. */
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

  /** Ids of merges that have changed since they were asked for. */
  const changed = useRef(new Set<string>());

  const load = async (signal: AbortSignal, why: Why): Promise<void> => {
    const news = changed.current;
    // What changes from now on may be later than the answer.
    changed.current = new Set();
    try {
      const first = await client.merges.page({ ...narrowed, limit: held === null ? PAGE : NEWEST }, { signal });
      const ids = new Set(first.data.map(({ id }) => id));
      const fits = ({ id, state }: Merge) => !ids.has(id) && (news.has(id) || (why === 'look' && !isFinal(state)));
      const open = held?.rows.filter(fits) ?? [];
      const fresh = await Promise.all(open.slice(0, MOST_SINGLE).map(({ id }) => client.merges.get(id, { signal })));
      setHeld((now) => withFirstPage(now, first, fresh, wanted));
      if (feed.state === 'live') later(open.slice(MOST_SINGLE).map(({ id }) => id));
    } catch (error) {
      for (const id of news) changed.current.add(id);
      throw error;
    }
  };
  const later = (ids: readonly string[]) => {
    for (const id of ids) changed.current.add(id);
    if (ids.length > 0) again();
  };
  const on = ({ events }: News) => {
    const ids = events.flatMap(({ type, merge_id }) => (type === 'merge.progress' ? [] : (merge_id ?? [])));
    for (const id of ids) changed.current.add(id);
    return ids.length > 0;
  };
  const { trouble, again } = useLive('merges', load, EVERY_MS, { on });
  useNews(({ events }) => {
    setHeld((now) => {
      const rows = withProgress(now?.rows ?? [], events);
      return now === null || rows === now.rows ? now : { ...now, rows };
    });
  });

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
