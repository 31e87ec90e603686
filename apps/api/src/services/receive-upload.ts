import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { AmalgamError, ASSET_KINDS, type AssetKind, isAmalgamError, isId } from '@amalgam/contracts';
import type { AssetRow } from '@amalgam/database';
import { KIND_RULES, type Parts } from '@amalgam/runtime';
import type { SignedRequest } from '@amalgam/storage';

/**
 * Takes the body of a signed PUT into the store: a file, or a part of one. Returns the file's etag, null for a part.
 *
 * @throws AmalgamError `digest_mismatch`, `payload_too_large`, `object_exists`, `not_found`, `storage_full`
 */
export async function receiveUpload(
  parts: Parts,
  signed: SignedRequest,
  body: IncomingMessage,
): Promise<string | null> {
  const target = await findTarget(parts, signed.key);
  const file = (await pending(parts, target)).files.find(({ path }) => path === target.path);
  if (file === undefined) throw new AmalgamError('not_found', `${target.id} has no file "${target.path}"`);
  return signed.part === null
    ? receiveFile(parts, target, file, body)
    : receivePart(parts, signed, signed.part, body).then(() => null);
}

/** A part is hashed when the file is made of all of them. */
async function receivePart(parts: Parts, signed: SignedRequest, part: number, body: IncomingMessage): Promise<void> {
  const upload = await parts.store.findParts(signed.key);
  if (upload === null) throw new AmalgamError('not_found', 'the upload of this link has ended');
  const bytes = signed.bytes ?? 0;
  const stream = Readable.from(exactly(body, `part ${part}`, bytes), { objectMode: false });
  await upload.put(part, stream, bytes);
}

/** Hashed on the way. It becomes visible only when its size and its stated digest are right, and never once the upload is complete. */
async function receiveFile(
  parts: Parts,
  target: Target,
  file: AssetRow['files'][number],
  body: IncomingMessage,
): Promise<string> {
  const { kind, projectId, id, path } = target;
  const bytes = Number(file.bytes);
  const hash = createHash('sha256');
  let sha256 = '';
  async function* checked() {
    for await (const chunk of exactly(body, `"${path}"`, bytes)) {
      hash.update(chunk);
      yield chunk;
    }
    sha256 = hash.digest('hex');
    if (file.expectedSha256 != null && sha256 !== file.expectedSha256) {
      const detail = `"${path}" has sha256 ${sha256}, not the stated ${file.expectedSha256}`;
      throw new AmalgamError('digest_mismatch', detail);
    }
    // It may have been completed while this arrived.
    await pending(parts, target);
  }
  const stream = Readable.from(checked(), { objectMode: false });
  const { etag } = await parts.store.putStream(target.key, stream, { maxBytes: bytes });
  await parts.database.assets(kind).setFileDigest(projectId, id, path, { sha256, etag, uploaded: true });
  return etag;
}

/** A body that must have so many bytes. @throws AmalgamError `digest_mismatch`; `upload_incomplete` when its sender goes away */
async function* exactly(body: IncomingMessage, what: string, bytes: number): AsyncGenerator<Buffer> {
  const declared = body.headers['content-length'];
  if (declared !== undefined && Number(declared) !== bytes) throw wrongSize(what, Number(declared), bytes);
  let received = 0;
  // Destroying the request would close its connection, and with it the way for the answer.
  try {
    for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      received += chunk.length;
      if (received > bytes) throw wrongSize(what, received, bytes);
      yield chunk;
    }
  } catch (cause) {
    if (isAmalgamError(cause)) throw cause;
    throw new AmalgamError('upload_incomplete', `${what} broke off after ${received} of ${bytes} bytes`, { cause });
  }
  if (received !== bytes) throw wrongSize(what, received, bytes);
}

interface Target {
  key: string;
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
    if (row !== null) return { key, kind, projectId: row.projectId, id, path };
  }
  throw new AmalgamError('not_found', 'the upload of this link is gone');
}

async function pending(parts: Parts, { kind, projectId, id }: Target): Promise<AssetRow> {
  const row = await parts.database.assets(kind).get(projectId, id);
  if (row === null) throw new AmalgamError('not_found', 'the upload of this link is gone');
  if (row.state === 'pending') return row;
  throw new AmalgamError('object_exists', `${id} is complete, so its files do not change any more`);
}

function wrongSize(what: string, got: number, bytes: number): AmalgamError {
  return new AmalgamError('digest_mismatch', `${what} must have the stated ${bytes} bytes, not ${got}`);
}
