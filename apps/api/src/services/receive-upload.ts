import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { AmalgamError, ASSET_KINDS, type AssetKind, isId } from '@amalgam/contracts';
import type { AssetRow } from '@amalgam/database';
import { KIND_RULES, type Parts } from '@amalgam/runtime';
import type { SignedRequest } from '@amalgam/storage';

/**
 * Takes the body of a signed PUT into the store, hashing it on the way. It becomes visible only when its size and its stated
 * digest are right, and never once the upload is complete. Returns the object's etag.
 *
 * @throws AmalgamError `digest_mismatch`, `payload_too_large`, `object_exists`, `not_found`, `storage_full`
 */
export async function receiveUpload(parts: Parts, signed: SignedRequest, body: IncomingMessage): Promise<string> {
  const target = await findTarget(parts, signed.key);
  const { kind, projectId, id, path } = target;
  const file = (await pending(parts, target)).files.find((candidate) => candidate.path === path);
  if (file === undefined) throw new AmalgamError('not_found', `${id} has no file "${path}"`);
  const bytes = Number(file.bytes);
  const declared = body.headers['content-length'];
  if (declared !== undefined && Number(declared) !== bytes) throw wrongSize(path, Number(declared), bytes);

  const hash = createHash('sha256');
  let sha256 = '';
  async function* checked() {
    let received = 0;
    // Destroying the request would close its connection, and with it the way for the answer.
    for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      received += chunk.length;
      if (received > bytes) throw wrongSize(path, received, bytes);
      hash.update(chunk);
      yield chunk;
    }
    if (received !== bytes) throw wrongSize(path, received, bytes);
    sha256 = hash.digest('hex');
    if (file?.expectedSha256 != null && sha256 !== file.expectedSha256) {
      const detail = `"${path}" has sha256 ${sha256}, not the stated ${file.expectedSha256}`;
      throw new AmalgamError('digest_mismatch', detail);
    }
    // It may have been completed while this arrived.
    await pending(parts, target);
  }
  const stream = Readable.from(checked(), { objectMode: false });
  const { etag } = await parts.store.putStream(signed.key, stream, { maxBytes: bytes });
  await parts.database.assets(kind).setFileDigest(projectId, id, path, { sha256, etag, uploaded: true });
  return etag;
}

interface Target {
  kind: AssetKind;
  projectId: string;
  id: string;
  path: string;
}

/** A link names no project: it was signed for one, and the asset says which. */
async function findTarget(parts: Parts, key: string): Promise<Target> {
  const [, plural, id, path] = /^([^/]+)\/([^/]+)\/(.+)$/.exec(key) ?? [];
  const kind = ASSET_KINDS.find((known) => KIND_RULES[known].plural === plural);
  if (kind !== undefined && id !== undefined && path !== undefined && isId(kind, id)) {
    const row = await parts.database.prisma.asset.findUnique({ where: { id, kind }, select: { projectId: true } });
    if (row !== null) return { kind, projectId: row.projectId, id, path };
  }
  throw new AmalgamError('not_found', 'the upload of this link is gone');
}

async function pending(parts: Parts, { kind, projectId, id }: Target): Promise<AssetRow> {
  const row = await parts.database.assets(kind).get(projectId, id);
  if (row === null) throw new AmalgamError('not_found', 'the upload of this link is gone');
  if (row.state === 'pending') return row;
  throw new AmalgamError('object_exists', `${id} is complete, so its files do not change any more`);
}

function wrongSize(path: string, got: number, bytes: number): AmalgamError {
  return new AmalgamError('digest_mismatch', `"${path}" must have the stated ${bytes} bytes, not ${got}`);
}
