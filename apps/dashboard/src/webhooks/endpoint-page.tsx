import type { WebhookEndpoint } from '@amalgam/contracts';
import { useState } from 'react';
import { client } from '../api.js';
import { Loading, TroubleNote } from '../parts/notes.js';
import { Section } from '../parts/section.js';
import { ShownOnce } from '../parts/shown-once.js';
import { Time } from '../parts/time.js';
import { hrefOf } from '../router.js';
import { useSession } from '../session.js';
import { useAct } from '../use-act.js';
import { useLive } from '../use-live.js';
import { EndpointBadge } from './badges.js';
import { Deliveries } from './deliveries.js';
import { EndpointForm } from './endpoint-form.js';
import { mayWriteWebhooks, WHY_DISABLED } from './words.js';

const EVERY_MS = 2500;
/** Nothing tells of a secret that somebody else replaced. */
const REST_MS = 15_000;

/** One endpoint: what it gets, its secret, and what was sent to it. */
export function EndpointPage({ id, query }: { id: string; query: URLSearchParams }) {
  const live = useLive(`endpoint ${id}`, (signal) => client.webhookEndpoints.get(id, { signal }), EVERY_MS, {
    on: ({ endpoints }) => endpoints.has(id),
    restMs: REST_MS,
  });
  // What an action answered, until the next look shows the same or newer.
  const [answered, setAnswered] = useState<WebhookEndpoint | null>(null);
  const endpoint =
    answered !== null && (live.data === undefined || answered.updated_at > live.data.updated_at) ? answered : live.data;
  return (
    <>
      <p className="crumbs">
        <a href={hrefOf(['webhooks'])}>Webhooks</a>
      </p>
      {live.trouble === null ? null : <TroubleNote trouble={live.trouble} />}
      {endpoint === undefined ? (
        live.trouble === null ? (
          <Loading />
        ) : null
      ) : (
        <Endpoint endpoint={endpoint} onChanged={setAnswered} query={query} />
      )}
    </>
  );
}

function Endpoint({
  endpoint,
  onChanged,
  query,
}: {
  endpoint: WebhookEndpoint;
  onChanged(endpoint: WebhookEndpoint): void;
  query: URLSearchParams;
}) {
  const { id, url, description, events, enabled, disabled } = endpoint;
  const { session } = useSession();
  const [editing, setEditing] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const writes = mayWriteWebhooks(session);
  return (
    <>
      <div className="title page-title">
        <h1>{url}</h1>
        <EndpointBadge endpoint={endpoint} />
        {writes ? (
          <EndpointActions
            endpoint={endpoint}
            onChanged={onChanged}
            onSecret={setSecret}
            onEdit={() => setEditing(true)}
          />
        ) : null}
      </div>
      {disabled === null || enabled ? null : (
        <div className={`note ${disabled.reason === 'user' ? 'warn' : 'bad'}`}>
          {WHY_DISABLED[disabled.reason]} <Time at={disabled.at} />.
        </div>
      )}
      {secret === null ? null : (
        <ShownOnce what="signing secret" secret={secret} onDone={() => setSecret(null)}>
          The old one signs beside it
          {endpoint.old_secrets_expire_at === null ? (
            ' no longer'
          ) : (
            <>, until {exact(endpoint.old_secrets_expire_at)}</>
          )}
          .
        </ShownOnce>
      )}
      {editing ? (
        <Section title="Change the endpoint">
          <EndpointForm
            start={{ url, description: description ?? '', events }}
            save="Save"
            onCancel={() => setEditing(false)}
            onSave={async (fields) => {
              const change = { ...fields, description: fields.description === '' ? null : fields.description };
              onChanged(await client.webhookEndpoints.update(id, change));
              setEditing(false);
            }}
          />
        </Section>
      ) : (
        <Section title="What it gets">
          {description === null ? null : <p>{description}</p>}
          <p>
            {events.map((type) => (
              <code key={type} className="chip">
                {type}
              </code>
            ))}
          </p>
          <p className="dim">
            <span className="id">{id}</span>, created <Time at={endpoint.created_at} />
            {endpoint.old_secrets_expire_at === null ? null : (
              <>, replaced secrets sign until {exact(endpoint.old_secrets_expire_at)}</>
            )}
          </p>
        </Section>
      )}
      <Deliveries endpoint={endpoint} query={query} writes={writes} />
    </>
  );
}

function EndpointActions({
  endpoint: { id, enabled },
  onChanged,
  onSecret,
  onEdit,
}: {
  endpoint: WebhookEndpoint;
  onChanged(endpoint: WebhookEndpoint): void;
  onSecret(secret: string): void;
  onEdit(): void;
}) {
  const { busy, trouble, act } = useAct();
  const [leaving, setLeaving] = useState(false);
  const test = async () => {
    const { id: delivery } = await client.webhookEndpoints.test(id);
    location.hash = hrefOf(['webhooks', id], { delivery });
  };
  const rotate = async () => {
    const { secret = '', ...rest } = await client.webhookEndpoints.rotateSecret(id);
    onChanged(rest);
    onSecret(secret);
  };
  const toggle = async () => onChanged(await client.webhookEndpoints.update(id, { enabled: !enabled }));
  const remove = async () => {
    await client.webhookEndpoints.delete(id);
    location.hash = hrefOf(['webhooks']);
  };
  if (leaving) {
    return (
      <span className="actions">
        <span>Delete it with the log of its deliveries?</span>
        <button type="button" disabled={busy} onClick={() => act(remove)}>
          Delete
        </button>
        <button type="button" onClick={() => setLeaving(false)}>
          Keep
        </button>
        {trouble === null ? null : <TroubleNote trouble={trouble} />}
      </span>
    );
  }
  return (
    <span className="actions">
      <button type="button" disabled={busy} onClick={() => act(test)}>
        Send test
      </button>
      <button type="button" onClick={onEdit}>
        Edit
      </button>
      <button type="button" disabled={busy} onClick={() => act(rotate)}>
        Rotate secret
      </button>
      <button type="button" disabled={busy} onClick={() => act(toggle)}>
        {enabled ? 'Disable' : 'Enable'}
      </button>
      <button type="button" onClick={() => setLeaving(true)}>
        Delete…
      </button>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
    </span>
  );
}

function exact(at: string) {
  return <Time at={at} exact />;
}
