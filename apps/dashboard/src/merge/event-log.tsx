import type { MergeEvent, Progress } from '@amalgam/contracts';
import { useId, useState } from 'react';
import { showBytes, showNumber } from '../format.js';
import { Empty } from '../parts/notes.js';
import { Section } from '../parts/section.js';
import { Time } from '../parts/time.js';

/** Rows of the log; of a long tuning the older ones of progress are left out. */
const MOST = 500;

/** What happened, the newest first. */
export function EventLog({ events }: { events: readonly MergeEvent[] }) {
  const [all, setAll] = useState(false);
  const id = useId();
  const chosen = all ? events : events.filter(({ type }) => type !== 'merge.progress');
  const hidden = events.length - chosen.length;
  const shown = chosen.slice(-MOST).toReversed();
  const toggle = (
    <span className="toggle">
      <input id={id} type="checkbox" checked={all} onChange={(event) => setAll(event.target.checked)} />{' '}
      <label htmlFor={id}>progress{hidden === 0 ? '' : ` (${hidden})`}</label>
    </span>
  );
  return (
    <Section title="Events" aside={toggle}>
      {shown.length === 0 ? (
        <Empty>None yet.</Empty>
      ) : (
        <ol className="plain events">
          {shown.map((event) => (
            <li key={event.seq} className="line">
              <span className="dim seq">{event.seq}</span>
              <code>{event.type}</code>
              <span>{describe(event)}</span>
              <span className="dim">
                <Time at={event.created_at} />
              </span>
            </li>
          ))}
        </ol>
      )}
      {chosen.length > MOST ? (
        <p className="dim">
          The latest {MOST} of {chosen.length}.
        </p>
      ) : null}
    </Section>
  );
}

function describe({ type, data }: MergeEvent): string {
  if (type !== 'merge.progress') {
    return Object.entries(data)
      .map(
        ([name, value]) => `${name.replaceAll('_', ' ')} ${typeof value === 'string' ? value : JSON.stringify(value)}`,
      )
      .join(', ');
  }
  const { stage, tuning, bytes_done, bytes_total } = data as unknown as Progress;
  if (stage === 'tuning' && tuning !== undefined) {
    return `tuning, step ${tuning.step} of ${tuning.steps}, loss ${showNumber(tuning.loss)}`;
  }
  return stage === 'merging' ? `merging, ${showBytes(bytes_done)} of ${showBytes(bytes_total)}` : `${stage}`;
}
