import type { Delivery, Merge } from '@amalgam/contracts';
import { useRef, useState } from 'react';
import { client } from '../api.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { Section } from '../parts/section.js';
import { Time } from '../parts/time.js';
import { useSession } from '../session.js';
import { useLive } from '../use-live.js';
import { DeliveryPanel } from './delivery-panel.js';
import { DeliveryTable } from './delivery-table.js';
import { mayWriteWebhooks } from './words.js';
import './webhooks.css';

const EVERY_MS = 2500;
/** A merge without much progress told has a handful. */
const MOST = 50;

const WHY = {
  gone: 'It answered 410 Gone: it wants no more',
  exhausted: 'It took nothing while a whole retry schedule ran',
};

async function load(id: string, signal: AbortSignal) {
  const { webhook } = await client.merges.get(id, { signal });
  const deliveries: Delivery[] = [];
  for await (const delivery of client.merges.deliveries(id, { signal })) {
    if (delivery.endpoint_id === null) deliveries.push(delivery);
    if (deliveries.length === MOST) break;
  }
  return { webhook, deliveries };
}

/** The webhook that a merge brought along: whether it is enabled, and what was sent to it. */
export default function OwnWebhook({ merge, webhook }: { merge: Merge; webhook: NonNullable<Merge['webhook']> }) {
  const { session } = useSession();
  const [opened, setOpened] = useState<string | null>(null);
  const pending = useRef(true);
  const { data, trouble, again } = useLive(
    `own webhook of ${merge.id}`,
    async (signal) => {
      const now = await load(merge.id, signal);
      pending.current = now.deliveries.some(({ state }) => state === 'pending');
      return now;
    },
    EVERY_MS,
    {
      on: (news) => news.events.some(({ merge_id }) => merge_id === merge.id),
      // No event tells of a try, nor of one that is sent again.
      get restMs() {
        return pending.current || opened !== null ? EVERY_MS : 0;
      },
    },
  );
  const { url, events, disabled } = data?.webhook ?? webhook;
  return (
    <>
      <Section title="Webhook of this merge">
        <p>
          <code>{url}</code>{' '}
          {events.map((type) => (
            <code key={type} className="chip">
              {type}
            </code>
          ))}
        </p>
        {disabled === undefined ? null : (
          <div className="note bad">
            {WHY[disabled.reason]}, <Time at={disabled.at} />. To enable it again, resend a delivery.
          </div>
        )}
        {trouble === null ? null : <TroubleNote trouble={trouble} />}
        {data === undefined ? (
          trouble === null && <Loading />
        ) : data.deliveries.length === 0 ? (
          <Empty>Nothing was sent yet.</Empty>
        ) : (
          <DeliveryTable
            deliveries={data.deliveries}
            titleOf={({ id, type }) => (
              <button
                type="button"
                aria-expanded={id === opened}
                onClick={() => {
                  setOpened(id === opened ? null : id);
                  again();
                }}
              >
                {type}
              </button>
            )}
          />
        )}
      </Section>
      {opened === null ? null : (
        <DeliveryPanel
          key={opened}
          id={opened}
          endpointId={null}
          mayResend={mayWriteWebhooks(session)}
          close={
            <button type="button" onClick={() => setOpened(null)}>
              Close
            </button>
          }
        />
      )}
    </>
  );
}
