import type { WebhookEndpoint } from '@amalgam/contracts';
import { useState } from 'react';
import { client } from '../api.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { Section } from '../parts/section.js';
import { ShownOnce } from '../parts/shown-once.js';
import { Time } from '../parts/time.js';
import { hrefOf } from '../router.js';
import { useSession } from '../session.js';
import { useLive } from '../use-live.js';
import { EndpointBadge } from './badges.js';
import { EndpointForm, NEW_ENDPOINT } from './endpoint-form.js';
import { EndpointPage } from './endpoint-page.js';
import { mayWriteWebhooks } from './words.js';
import './webhooks.css';

const EVERY_MS = 2500;
/** Nothing tells of endpoints that others make or delete. */
const REST_MS = 15_000;

/** All endpoints, or one of them. */
export default function WebhooksPage({ id, query }: { id: string | undefined; query: URLSearchParams }) {
  return id === undefined ? <Endpoints /> : <EndpointPage key={id} id={id} query={query} />;
}

function Endpoints() {
  const { session } = useSession();
  const { data, trouble } = useLive('endpoints', (signal) => client.webhookEndpoints.list({ signal }), EVERY_MS, {
    on: ({ endpoints }) => endpoints.size > 0,
    restMs: REST_MS,
  });
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<WebhookEndpoint | null>(null);
  const rows = made === null || data?.some(({ id }) => id === made.id) ? data : [made, ...(data ?? [])];
  return (
    <>
      <div className="title page-title">
        <h1>Webhooks</h1>
        {mayWriteWebhooks(session) && !making ? (
          <span className="actions">
            <button type="button" className="primary" onClick={() => setMaking(true)}>
              New endpoint
            </button>
          </span>
        ) : null}
      </div>
      {making ? (
        <Section title="New endpoint">
          <EndpointForm
            start={NEW_ENDPOINT}
            save="Create"
            onCancel={() => setMaking(false)}
            onSave={async ({ url, description, events }) => {
              setMade(
                await client.webhookEndpoints.create({ url, events, ...(description === '' ? {} : { description }) }),
              );
              setMaking(false);
            }}
          />
        </Section>
      ) : null}
      {made?.secret === undefined ? null : (
        <ShownOnce what="signing secret" secret={made.secret} onDone={() => setMade({ ...made, secret: undefined })}>
          The receiver at {made.url} verifies with it.
        </ShownOnce>
      )}
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {rows === undefined ? <Loading /> : <Table rows={rows} />}
    </>
  );
}

function Table({ rows }: { rows: readonly WebhookEndpoint[] }) {
  if (rows.length === 0) {
    return <Empty>No endpoint yet. A webhook tells another program what happens to merges, signed and retried.</Empty>;
  }
  return (
    <table className="card merges">
      <thead>
        <tr>
          <th scope="col">Endpoint</th>
          <th scope="col">State</th>
          <th scope="col" className="wide">
            Events
          </th>
          <th scope="col">Created</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((endpoint) => (
          <tr key={endpoint.id}>
            <th scope="row">
              <a href={hrefOf(['webhooks', endpoint.id])}>{endpoint.url}</a>
              <div className="dim">{endpoint.description}</div>
            </th>
            <td>
              <EndpointBadge endpoint={endpoint} />
            </td>
            <td className="wide">{endpoint.events.join(', ')}</td>
            <td>
              <Time at={endpoint.created_at} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
