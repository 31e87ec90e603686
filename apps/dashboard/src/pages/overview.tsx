import {
  type LaneStatus,
  type List,
  MERGE_STATES,
  type Merge,
  type MergeCounts,
  type QueueStatus,
  type WorkerStatus,
} from '@amalgam/contracts';
import { client } from '../api.js';
import { secondsBetween, showBytes, showCount, showRelative, showSeconds } from '../format.js';
import { isMoreThanProgress, useNews } from '../live/use-feed.js';
import { withProgress } from '../merge-list.js';
import { MergeProgress } from '../parts/merge-progress.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { ScrollTable } from '../parts/scroll-table.js';
import { Section } from '../parts/section.js';
import { StateBadge } from '../parts/state-badge.js';
import { Time, useNow } from '../parts/time.js';
import { hrefOf } from '../router.js';
import { useLive } from '../use-live.js';

const EVERY_MS = 3000;
/** No event tells that a worker came, was heard of, or went. */
const WORKERS_EVERY_MS = 10_000;
const RECENT = 60;
const HOUR_MS = 3_600_000;

async function loadMerges(signal: AbortSignal) {
  const [counts, recent, active, failed] = await Promise.all([
    client.merges.counts({ signal }),
    client.merges.page({ limit: RECENT }, { signal }),
    client.merges.page({ state: ['queued', 'running'], limit: 10 }, { signal }),
    client.merges.page({ state: 'failed', limit: 5 }, { signal }),
  ]);
  return { counts, recent, active, failed: failed.data };
}

/** What the service is doing now, and what went wrong lately. */
export function OverviewPage() {
  const queue = useLive('queue', (signal) => client.queue({ signal }), EVERY_MS, {
    on: (news) => isMoreThanProgress(news) || news.endpoints.size > 0,
    restMs: WORKERS_EVERY_MS,
  });
  const merges = useLive('merges', loadMerges, EVERY_MS, { on: isMoreThanProgress });
  useNews(({ events }) =>
    merges.update((data) => {
      const rows = withProgress(data.active.data, events);
      return rows === data.active.data ? data : { ...data, active: { ...data.active, data: [...rows] } };
    }),
  );
  const trouble = queue.trouble ?? merges.trouble;
  return (
    <>
      <h1>Overview</h1>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {queue.data === undefined || merges.data === undefined ? (
        trouble === null && <Loading />
      ) : (
        <Parts queue={queue.data} merges={merges.data} />
      )}
    </>
  );
}

function Parts({ queue, merges }: { queue: QueueStatus; merges: Awaited<ReturnType<typeof loadMerges>> }) {
  return (
    <>
      <Lanes lanes={queue.lanes} />
      <div className="columns">
        <Active active={merges.active} />
        <Merges recent={merges.recent} counts={merges.counts} />
      </div>
      <Workers workers={queue.workers} />
      <Failures failed={merges.failed} />
    </>
  );
}

const LANE_SUBJECTS = { cpu: 'streaming merges', gpu: 'tuning and evaluation', delivery: 'webhooks' };

function Lanes({ lanes }: { lanes: LaneStatus[] }) {
  return (
    <Section title="Queue">
      <div className="lanes">
        {lanes.map(({ lane, waiting, delayed, active, workers, warning }) => (
          <div key={lane} className="lane">
            <h3>
              {lane} <span className="dim">{LANE_SUBJECTS[lane]}</span>
            </h3>
            <dl className="facts">
              <Fact name="waiting" value={waiting} />
              <Fact name="running" value={active} />
              <Fact name="delayed" value={delayed} />
              <Fact name={workers === 1 ? 'worker' : 'workers'} value={workers} />
            </dl>
            {warning === undefined ? null : <p className="note warn">{warning}</p>}
          </div>
        ))}
      </div>
    </Section>
  );
}

function Fact({ name, value }: { name: string; value: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Active({ active }: { active: List<Merge> }) {
  const more = active.has_more ? <a href={hrefOf(['merges'], { state: 'running' })}>all</a> : null;
  return (
    <Section title="Under way" aside={more}>
      {active.data.length === 0 ? (
        <Empty>Nothing waits and nothing runs.</Empty>
      ) : (
        <ul className="plain">
          {active.data.map((merge) => (
            <li key={merge.id} className="line">
              <MergeLink merge={merge} />
              <span className="dim">{merge.method}</span>
              <MergeProgress merge={merge} />
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

/** How many there are, and one bar for each of the latest, the newest at the right; the longer it took the higher. */
function Merges({ recent, counts }: { recent: List<Merge>; counts: MergeCounts }) {
  const { data, has_more } = recent;
  const now = useNow();
  const merges = data.toReversed();
  const seconds = merges.map((merge) => secondsBetween(merge.started_at, merge.finished_at, now) ?? 0);
  const longest = Math.max(1e-3, ...seconds);
  return (
    <Section title="Merges" aside={<a href={hrefOf(['merges'])}>all</a>}>
      {data.length === 0 ? (
        <Empty>
          No merge yet. <a href={hrefOf(['new'])}>Make one</a>; <a href={hrefOf(['methods'])}>methods</a> says how
          models can be merged.
        </Empty>
      ) : (
        <>
          <ul className="strip" aria-label="The latest merges, by time taken">
            {merges.map((merge, i) => (
              <li key={merge.id} className="strip-item">
                <a
                  className={`strip-bar ${merge.state}`}
                  style={{ height: `${Math.max(8, 100 * Math.sqrt((seconds[i] ?? 0) / longest))}%` }}
                  href={hrefOf(['merges', merge.id])}
                  title={`${nameOf(merge)}: ${merge.state}, ${showSeconds(seconds[i] ?? 0)}, ${showRelative(Date.parse(merge.created_at), now)}`}
                >
                  <span className="unseen">
                    {nameOf(merge)}: {merge.state}
                  </span>
                </a>
              </li>
            ))}
          </ul>
          <p className="counts">
            {MERGE_STATES.map((state) => (
              <a key={state} href={hrefOf(['merges'], { state })}>
                <StateBadge state={state} /> {counts[state]}
              </a>
            ))}
          </p>
          {has_more ? <p className="dim">The bars are the latest {RECENT}.</p> : null}
          <p className="dim">{throughputOf(recent, now)}</p>
        </>
      )}
    </Section>
  );
}

/** What was done in the last hour, as far as the latest merges tell. */
function throughputOf({ data, has_more }: List<Merge>, now: number): string {
  const begin = now - HOUR_MS;
  const done = data.filter(({ state, finished_at }) => {
    return state === 'succeeded' && finished_at !== null && Date.parse(finished_at) >= begin;
  });
  const bytes = done.reduce((sum, { result }) => sum + (result?.bytes ?? 0), 0);
  // Older ones than these may have ended in this hour, too.
  const oldest = data.at(-1)?.created_at;
  const least = has_more && oldest !== undefined && Date.parse(oldest) >= begin ? 'at least ' : '';
  return `In the last hour ${least}${showCount(done.length, 'merge')} done, ${showBytes(bytes)} of results.`;
}

function Workers({ workers }: { workers: WorkerStatus[] }) {
  return (
    <Section title="Workers">
      {workers.length === 0 ? (
        <Empty>
          No worker has been heard of lately: nothing will be merged until one is started. <code>npm start</code> starts
          one with the service.
        </Empty>
      ) : (
        <ScrollTable label="Workers" columns={['Worker', 'Device', 'Lanes', 'Running', 'Started', 'Heard of']}>
          {workers.map((worker) => (
            <tr key={worker.id}>
              <th scope="row">
                <code>{worker.id}</code> <span className="dim">{worker.version}</span>
              </th>
              <td>{worker.device}</td>
              <td>{worker.lanes.join(', ')}</td>
              <td>{showCount(worker.running, 'job')}</td>
              <td>
                <Time at={worker.started_at} />
              </td>
              <td>
                <Time at={worker.heartbeat_at} />
              </td>
            </tr>
          ))}
        </ScrollTable>
      )}
    </Section>
  );
}

function Failures({ failed }: { failed: Merge[] }) {
  return (
    <Section title="Recent failures" aside={<a href={hrefOf(['merges'], { state: 'failed' })}>all</a>}>
      {failed.length === 0 ? (
        <Empty>None.</Empty>
      ) : (
        <ul className="plain">
          {failed.map((merge) => (
            <li key={merge.id}>
              <div className="line">
                <MergeLink merge={merge} />
                <span className="dim">{merge.method}</span>
                <span className="dim">
                  <Time at={merge.finished_at ?? merge.created_at} />
                </span>
              </div>
              <p className="why">
                <code>{merge.error?.code}</code> {merge.error?.detail}
              </p>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function MergeLink({ merge }: { merge: Merge }) {
  return <a href={hrefOf(['merges', merge.id])}>{nameOf(merge)}</a>;
}

function nameOf({ name, id }: Merge): string {
  return name ?? id;
}
