import type { Attempt } from '@amalgam/contracts';
import { secondsBetween, showSeconds } from '../format.js';
import { Empty } from '../parts/notes.js';
import { Scroll, Section } from '../parts/section.js';
import { StateBadge } from '../parts/state-badge.js';
import { Time, useNow } from '../parts/time.js';

/** Which workers tried, and what came of it. */
export function Attempts({ attempts }: { attempts: readonly Attempt[] }) {
  const now = useNow();
  return (
    <Section title="Attempts">
      {attempts.length === 0 ? (
        <Empty>No worker has begun it yet.</Empty>
      ) : (
        <Scroll label="Attempts">
          <table>
            <thead>
              <tr>
                <th scope="col">Number</th>
                <th scope="col">State</th>
                <th scope="col">Worker</th>
                <th scope="col">Device</th>
                <th scope="col">Started</th>
                <th scope="col">Took</th>
              </tr>
            </thead>
            <tbody>
              {attempts.map(({ number, state, worker, device, started_at, finished_at, error }) => (
                <tr key={number}>
                  <th scope="row">{number}</th>
                  <td>
                    <StateBadge state={state} />
                    {error === null ? null : (
                      <div className="why">
                        <code>{error.code}</code> {error.detail}
                      </div>
                    )}
                  </td>
                  <td>
                    <code>{worker}</code>
                  </td>
                  <td>{device ?? <span className="dim">not said</span>}</td>
                  <td>
                    <Time at={started_at} />
                  </td>
                  <td>{showSeconds(secondsBetween(started_at, finished_at, now) ?? 0)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Section>
  );
}
