import type { DeliveryDetails, DeliveryTry } from '@amalgam/contracts';
import type { ReactNode } from 'react';
import { client } from '../api.js';
import type { News } from '../live/feed.js';
import { CopyButton } from '../parts/copy-button.js';
import { Loading, TroubleNote } from '../parts/notes.js';
import { Scroll, Section } from '../parts/section.js';
import { Time } from '../parts/time.js';
import { hrefOf } from '../router.js';
import { useAct } from '../use-act.js';
import { useLive } from '../use-live.js';
import { DeliveryBadge } from './badges.js';

const EVERY_MS = 1000;

/** One delivery: its state, its tries with what was sent and what came back, and its body. */
export function DeliveryPanel({
  id,
  endpointId,
  mayResend,
  close,
}: {
  id: string;
  /** Null for a merge's own webhook, of whose deliveries the stream does not tell. */
  endpointId: string | null;
  mayResend: boolean;
  /** What closes the panel. */
  close: ReactNode;
}) {
  const load = (signal: AbortSignal) => client.deliveries.get(id, { signal });
  const following = endpointId === null ? undefined : { on: ({ endpoints }: News) => endpoints.has(endpointId) };
  const { data, trouble } = useLive(`delivery ${id}`, load, EVERY_MS, following);
  const resend = useAct();
  const aside = (
    <span className="resend">
      {mayResend ? (
        <button
          type="button"
          disabled={resend.busy}
          onClick={() =>
            resend.act(async () => {
              await client.deliveries.redeliver(id);
            })
          }
        >
          Resend
        </button>
      ) : null}
      {close}
    </span>
  );
  return (
    <Section title="Delivery" aside={aside}>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {resend.trouble === null ? null : <TroubleNote trouble={resend.trouble} />}
      {data === undefined ? trouble === null ? <Loading /> : null : <Details delivery={data} />}
    </Section>
  );
}

function Details({ delivery }: { delivery: DeliveryDetails }) {
  const { id, type, state, merge_id, last_error, next_attempt_at, tries, body } = delivery;
  return (
    <>
      <div className="line">
        <code>{type}</code>
        <DeliveryBadge state={state} />
        {merge_id === null ? null : <a href={hrefOf(['merges', merge_id])}>the merge</a>}
        <span className="dim id">{id}</span>
        {next_attempt_at === null ? null : (
          <span>
            next try <Time at={next_attempt_at} exact />
          </span>
        )}
      </div>
      {tries.length === 0 ? (
        <p className="dim">{last_error === null ? 'No try yet.' : `Never sent: ${last_error}.`}</p>
      ) : (
        <ol className="plain tries">
          {tries.toReversed().map((one, index) => (
            <Try key={one.number} one={one} open={index === 0} />
          ))}
        </ol>
      )}
      <details>
        <summary>
          Body <span className="dim">{new TextEncoder().encode(body).length} bytes, as it is signed</span>
        </summary>
        <CopyButton text={body} what="the body" />
        <Scroll label="Body" tall>
          <pre>{JSON.stringify(JSON.parse(body), null, 2)}</pre>
        </Scroll>
      </details>
    </>
  );
}

function Try({ one, open }: { one: DeliveryTry; open: boolean }) {
  const { number, url, started_at, duration_ms, request_headers, status, response_head, error } = one;
  const request = [`POST ${url}`, ...Object.entries(request_headers).map(([name, value]) => `${name}: ${value}`)];
  return (
    <li>
      <details open={open}>
        <summary>
          Try {number}: <span className={`badge ${error === null ? 'succeeded' : 'failed'}`}>{error ?? status}</span>{' '}
          <span className="dim">
            in {duration_ms} ms, <Time at={started_at} />
          </span>
        </summary>
        <h3>Request</h3>
        <Scroll label={`Request of try ${number}`}>
          <pre>{request.join('\n')}</pre>
        </Scroll>
        <h3>Response</h3>
        <Scroll label={`Response of try ${number}`}>
          <pre>{status === null ? 'no answer' : `${status}\n${response_head}`.trimEnd()}</pre>
        </Scroll>
      </details>
    </li>
  );
}
