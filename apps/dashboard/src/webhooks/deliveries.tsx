import {
  DELIVERY_STATES,
  DELIVERY_TYPES,
  type DeliveryState,
  type DeliveryType,
  type WebhookEndpoint,
} from '@amalgam/contracts';
import { useId, useState } from 'react';
import { client } from '../api.js';
import { showCount } from '../format.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { Section } from '../parts/section.js';
import { hrefOf } from '../router.js';
import { useAct } from '../use-act.js';
import { useLive } from '../use-live.js';
import { DeliveryPanel } from './delivery-panel.js';
import { DeliveryTable } from './delivery-table.js';

const EVERY_MS = 2000;
const PAGE = 25;
const MOST = 100;
const HOUR_MS = 3_600_000;

/** How far back "send all that failed again" goes. */
const SINCE = [
  ['the last hour', 1],
  ['the last day', 24],
  ['the last 7 days', 168],
  ['the last 30 days', 720],
] as const;

/** What was sent to an endpoint, with one delivery opened where the page's address names it. */
export function Deliveries({
  endpoint,
  query,
  writes,
}: {
  endpoint: WebhookEndpoint;
  query: URLSearchParams;
  writes: boolean;
}) {
  const { id } = endpoint;
  const state = oneOf<DeliveryState>(DELIVERY_STATES, query.get('state'));
  const type = oneOf<DeliveryType>(DELIVERY_TYPES, query.get('type'));
  const opened = query.get('delivery');
  const filter = { ...(state === undefined ? {} : { state }), ...(type === undefined ? {} : { type }) };
  const here = (change: Record<string, string>) =>
    hrefOf(['webhooks', id], { state: state ?? '', type: type ?? '', delivery: opened ?? '', ...change });
  return (
    <>
      {opened === null ? null : (
        <DeliveryPanel
          key={opened}
          id={opened}
          endpointId={id}
          mayResend={writes}
          close={<a href={here({ delivery: '' })}>Close</a>}
        />
      )}
      <Section title="Deliveries" aside={writes && endpoint.enabled ? <ResendFailed id={id} /> : null}>
        <Filters
          state={state ?? ''}
          type={type ?? ''}
          onState={(value) => {
            location.hash = here({ state: value });
          }}
          onType={(value) => {
            location.hash = here({ type: value });
          }}
        />
        <Rows key={`${state} ${type}`} id={id} filter={filter} hrefTo={(delivery) => here({ delivery })} />
      </Section>
    </>
  );
}

function Filters({
  state,
  type,
  onState,
  onType,
}: {
  state: string;
  type: string;
  onState(value: string): void;
  onType(value: string): void;
}) {
  const id = useId();
  return (
    <search className="filters">
      <label htmlFor={`${id}-state`}>State</label>
      <select id={`${id}-state`} value={state} onChange={(event) => onState(event.target.value)}>
        <option value="">all</option>
        {DELIVERY_STATES.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <label htmlFor={`${id}-type`}>Event</label>
      <select id={`${id}-type`} value={type} onChange={(event) => onType(event.target.value)}>
        <option value="">all</option>
        {DELIVERY_TYPES.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </search>
  );
}

function Rows({
  id,
  filter,
  hrefTo,
}: {
  id: string;
  filter: { state?: DeliveryState; type?: DeliveryType };
  hrefTo(delivery: string): string;
}) {
  const [limit, setLimit] = useState(PAGE);
  const { data, trouble } = useLive(
    `deliveries ${id} ${limit}`,
    (signal) => client.webhookEndpoints.deliveries(id, { ...filter, limit }, { signal }),
    EVERY_MS,
    { on: ({ endpoints }) => endpoints.has(id) },
  );
  if (data === undefined) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;
  if (data.data.length === 0) {
    return <Empty>{Object.keys(filter).length === 0 ? 'Nothing was sent yet.' : 'No delivery is like that.'}</Empty>;
  }
  return (
    <>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      <DeliveryTable
        deliveries={data.data}
        titleOf={({ id: delivery, type }) => <a href={hrefTo(delivery)}>{type}</a>}
      />
      {data.has_more && limit < MOST ? (
        <p className="center">
          <button type="button" onClick={() => setLimit(MOST)}>
            Show more
          </button>
        </p>
      ) : null}
      {data.has_more && limit >= MOST ? <p className="dim">The latest {MOST}; older ones through the API.</p> : null}
    </>
  );
}

function ResendFailed({ id }: { id: string }) {
  const selectId = useId();
  const [hours, setHours] = useState(24);
  const [said, setSaid] = useState('');
  const { busy, trouble, act } = useAct();
  const resend = async () => {
    const since = new Date(Date.now() - hours * HOUR_MS).toISOString();
    const { deliveries } = await client.webhookEndpoints.redeliver(id, { since });
    setSaid(
      deliveries === 0 ? 'None has failed' : `${showCount(deliveries, 'delivery').replace(/ys$/, 'ies')} sent again`,
    );
  };
  return (
    <span className="resend">
      <span role="status" className="dim">
        {said}
      </span>
      <label htmlFor={selectId} className="unseen">
        Failed in
      </label>
      <select id={selectId} value={hours} onChange={(event) => setHours(Number(event.target.value))}>
        {SINCE.map(([words, value]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
      <button type="button" disabled={busy} onClick={() => act(resend)}>
        Resend failed
      </button>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
    </span>
  );
}

function oneOf<T extends string>(all: readonly T[], text: string | null): T | undefined {
  return all.find((one) => one === text);
}
