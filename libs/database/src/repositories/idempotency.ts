import { randomUUID } from 'node:crypto';
import { AmalgamError } from '@amalgam/contracts';
import type { Context, Tx } from '../context.js';
import type { Vault } from '../crypto.js';
import { toJson } from '../json.js';
import { inTransaction } from '../transaction.js';

/** A request that has not finished after this long was cut off with its process. */
export const STALE_AFTER_MS = 60_000;

/** An answer as it is kept and replayed; `body` is a JSON value. */
export interface StoredResponse {
  status: number;
  headers: Record<string, string>;
  body: unknown;
}

/** `new`: do the work, then `complete` or `abandon` with the token. `replay`: send this again. */
export type Begun = { kind: 'new'; token: string } | ({ kind: 'replay' } & StoredResponse);

interface Row {
  route: string;
  requestHash: string;
  state: 'in_progress' | 'done';
  status: number | null;
  headers: Record<string, string> | null;
  body: string | null;
  stale: boolean;
}

export class IdempotencyRepository {
  constructor(private readonly context: Context) {}

  /**
   * Takes a key for a request. `route` is method and path, `requestHash` a sha256 of the body. Throws
   * `idempotency_key_reused` when the key was used with another request and `idempotency_in_progress` while the first
   * one runs; after 60 s that one is taken for dead and the key goes to the new request.
   */
  async begin(projectId: string, key: string, request: { route: string; requestHash: string }): Promise<Begun> {
    const token = randomUUID();
    const { route, requestHash } = request;
    // By itself, which is all that most requests need.
    const inserted = await this.context.prisma.$executeRaw`
      INSERT INTO idempotency_keys (project_id, key, route, request_hash, state, token)
      VALUES (${projectId}, ${key}, ${route}, ${requestHash}, 'in_progress', ${token})
      ON CONFLICT (project_id, key) DO NOTHING`;
    if (inserted > 0) return { kind: 'new', token };
    return inTransaction(this.context, async (tx): Promise<Begun> => {
      const rows = await tx.$queryRaw<Row[]>`
        SELECT route, request_hash AS "requestHash", state::text AS state, status, headers, body,
               locked_at < clock_timestamp() - ${STALE_AFTER_MS}::float8 * interval '1 millisecond' AS stale
        FROM idempotency_keys WHERE project_id = ${projectId} AND key = ${key} FOR UPDATE`;
      const row = rows[0];
      // Abandoned between the two statements: whoever did that is done with it, and the client may try again.
      if (row === undefined) throw inProgress(key);
      if (row.route !== route || row.requestHash !== requestHash) {
        throw new AmalgamError('idempotency_key_reused', `the Idempotency-Key "${key}" was used with another request`);
      }
      if (row.state === 'done') return { kind: 'replay', ...openResponse(this.context.vault, projectId, key, row) };
      if (!row.stale) throw inProgress(key);
      await tx.$executeRaw`
        UPDATE idempotency_keys SET token = ${token}, locked_at = clock_timestamp()
        WHERE project_id = ${projectId} AND key = ${key}`;
      return { kind: 'new', token };
    });
  }

  /** Keeps the answer for replays. False when the key has gone to a later request meanwhile. */
  async complete(projectId: string, key: string, token: string, response: StoredResponse): Promise<boolean> {
    return completeKey(this.context.prisma, this.context.vault, projectId, key, token, response);
  }

  /** Frees the key: nothing was done, because the request is not valid say, and a corrected one may use it. */
  async abandon(projectId: string, key: string, token: string): Promise<void> {
    await this.context.prisma.idempotencyKey.deleteMany({ where: { projectId, key, token, state: 'in_progress' } });
  }

  /** Deletes keys older than this (at least 24 h is promised to clients); returns how many. */
  async purge(olderThanMs: number): Promise<number> {
    return this.context.prisma.$executeRaw`
      DELETE FROM idempotency_keys
      WHERE created_at < clock_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'`;
  }
}

/** `complete`, inside a transaction that also does the work. */
export async function completeKey(
  tx: Tx,
  vault: Vault,
  projectId: string,
  key: string,
  token: string,
  response: StoredResponse,
): Promise<boolean> {
  const text = JSON.stringify(response.body ?? null);
  const { count } = await tx.idempotencyKey.updateMany({
    where: { projectId, key, token, state: 'in_progress' },
    data: {
      state: 'done',
      status: response.status,
      headers: toJson(response.headers),
      // An answer may hold a webhook secret, which no table holds in the clear.
      body: vault.canSeal ? vault.seal(text, context(projectId, key)) : text,
    },
  });
  return count > 0;
}

function openResponse(vault: Vault, projectId: string, key: string, row: Row): StoredResponse {
  const text = row.body ?? 'null';
  const json = text.startsWith('v1.') ? vault.open(text, context(projectId, key)) : text;
  return { status: row.status ?? 200, headers: row.headers ?? {}, body: JSON.parse(json) as unknown };
}

function context(projectId: string, key: string): string {
  return `idempotency:${projectId}:${key}`;
}

function inProgress(key: string): AmalgamError {
  return new AmalgamError('idempotency_in_progress', `a request with the Idempotency-Key "${key}" is still running`);
}
