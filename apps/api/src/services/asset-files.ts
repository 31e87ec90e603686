import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { AmalgamError } from '@amalgam/contracts';
import type { AssetRow } from '@amalgam/database';
import { type Config, openAsset, type Parts } from '@amalgam/runtime';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Sendable, sendFile } from './send-file.js';

const LINK_SECONDS = 3600;
const READ_BYTES = 1 << 20;

type File = AssetRow['files'][number];

/** Answers with a file of an asset: a signed link to S3, else the bytes. Only files that the database names are there. */
export async function sendAssetFile(
  request: FastifyRequest,
  reply: FastifyReply,
  services: { parts: Parts; config: Config },
  asset: AssetRow,
  path: string,
): Promise<FastifyReply> {
  const { parts, config } = services;
  const file = asset.files.find((candidate) => candidate.path === path);
  if (file === undefined) throw new AmalgamError('not_found', `${asset.id} has no file "${path}"`);
  if (asset.state !== 'ready') {
    throw new AmalgamError(`${asset.kind}_not_ready`, `${asset.id} is ${asset.state}`);
  }
  if (asset.storePrefix === null) return sendFile(request, reply, await registered(parts, config, asset, file));
  const key = `${asset.storePrefix}/${path}`;
  if (parts.store.kind === 's3') {
    const url = await parts.store.signedGetUrl(key, { expiresSeconds: LINK_SECONDS, filename: basename(path) });
    return reply.header('cache-control', 'no-store').redirect(url, 302);
  }
  return sendFile(request, reply, await stored(parts, key, file));
}

async function stored(parts: Parts, key: string, file: File): Promise<Sendable> {
  const info = await parts.store.head(key);
  if (info === null) throw new AmalgamError('storage_error', `the store has lost ${file.path}`);
  assertSame(file, info);
  return {
    path: file.path,
    bytes: info.bytes,
    etag: file.sha256 ?? info.etag,
    open: (offset, length) => parts.store.stream(key, { offset, length }),
  };
}

/** A file that was registered by URI: read piece by piece, each of which is checked to be of the file that was seen. */
async function registered(parts: Parts, config: Config, asset: AssetRow, file: File): Promise<Sendable> {
  const folder = await openAsset(parts, config, asset);
  const found = (await folder.list()).find(({ path }) => path === file.path);
  if (found === undefined) throw new AmalgamError('checkpoint_changed', `${asset.uri}: ${file.path} is gone`);
  assertSame(file, found);
  const source = folder.source(file.path);
  async function* read(offset: number, length: number) {
    for (let done = 0; done < length; ) {
      const piece = await source.read(offset + done, Math.min(READ_BYTES, length - done));
      done += piece.length;
      yield piece;
    }
  }
  return {
    path: file.path,
    bytes: found.bytes,
    etag: file.sha256 ?? found.etag,
    open: async (offset, length) => Readable.from(read(offset, length), { objectMode: false }),
  };
}

function assertSame(file: File, now: { bytes: number; etag: string }): void {
  if (now.bytes !== Number(file.bytes) || (file.etag !== null && now.etag !== file.etag)) {
    throw new AmalgamError('checkpoint_changed', `${file.path}: the stored bytes are not those that were registered`);
  }
}
