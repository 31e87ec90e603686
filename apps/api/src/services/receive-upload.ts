import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { AmalgamError } from '@amalgam/contracts';
import type { CheckpointRow } from '@amalgam/database';
import type { Parts } from '@amalgam/runtime';
import type { SignedRequest } from '@amalgam/storage';

/**
 * Takes the body of a signed PUT into the store, hashing it on the way. It becomes visible only when its size and its stated
 * digest are right, and never once the checkpoint is complete. Returns the object's etag.
 *
 * @throws AmalgamError `digest_mismatch`, `payload_too_large`, `object_exists`, `not_found`, `storage_full`
 */
export async function receiveUpload(parts: Parts, signed: SignedRequest, body: IncomingMessage): Promise<string> {
  const { projectId, checkpointId, path } = await findTarget(parts, signed.key);
  const file = (await pending(parts, projectId, checkpointId)).files.find((candidate) => candidate.path === path);
  if (file === undefined) throw new AmalgamError('not_found', `${checkpointId} has no file "${path}"`);
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
    await pending(parts, projectId, checkpointId);
  }
  const stream = Readable.from(checked(), { objectMode: false });
  const { etag } = await parts.store.putStream(signed.key, stream, { maxBytes: bytes });
  await parts.database.checkpoints.setFileDigest(projectId, checkpointId, path, { sha256, etag, uploaded: true });
  return etag;
}

/** A link names no project: it was signed for one, and the checkpoint says which. */
async function findTarget(parts: Parts, key: string) {
  const [, checkpointId, path] = /^checkpoints\/([^/]+)\/(.+)$/.exec(key) ?? [];
  const row =
    checkpointId === undefined
      ? null
      : await parts.database.prisma.asset.findUnique({
          where: { id: checkpointId },
          select: { projectId: true },
        });
  if (row === null || checkpointId === undefined || path === undefined) {
    throw new AmalgamError('not_found', 'the upload of this link is gone');
  }
  return { projectId: row.projectId, checkpointId, path };
}

async function pending(parts: Parts, projectId: string, id: string): Promise<CheckpointRow> {
  const row = await parts.database.checkpoints.get(projectId, id);
  if (row === null) throw new AmalgamError('not_found', 'the upload of this link is gone');
  if (row.state === 'pending') return row;
  throw new AmalgamError('object_exists', `${id} is complete, so its files do not change any more`);
}

function wrongSize(path: string, got: number, bytes: number): AmalgamError {
  return new AmalgamError('digest_mismatch', `"${path}" must have the stated ${bytes} bytes, not ${got}`);
}
