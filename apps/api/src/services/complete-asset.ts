import { createHash } from 'node:crypto';
import { AmalgamError, type AssetKind, type AssetResources, type FieldError, joinDetails } from '@amalgam/contracts';
import { type AssetRow, toAssetResource } from '@amalgam/database';
import { describeAsset, type Parts } from '@amalgam/runtime';
import { type FolderFile, storeFolder } from '@amalgam/storage';
import { type Arrived, dropParts, joinParts } from './upload-parts.js';

const HASHED_AT_ONCE = 2;

/**
 * Completes an upload: every file must be there with its exact size and, where one was stated, its digest, and the whole must
 * be what it is meant to be. Otherwise it stays pending, and what is wrong can be uploaded again. Completing twice is harmless.
 *
 * @throws AmalgamError `upload_incomplete`, `digest_mismatch`, `checkpoint_changed`; what describing throws
 */
export async function completeAsset<K extends AssetKind>(
  parts: Parts,
  kind: K,
  projectId: string,
  row: AssetRow,
): Promise<AssetResources[K]> {
  if (row.state === 'ready' || row.storePrefix === null) return toAssetResource(kind, row);
  const prefix = row.storePrefix;
  const { folder, found, unfinished } = await look(parts, row, prefix);
  assertComplete(row, found, unfinished);
  const digests = await digest(parts, row, prefix, found);
  assertDigests(row, digests);
  const contents = await describeAsset(kind, { open: async () => folder, digests, whole: true });
  // A link may be used again while this runs; what was hashed and described must be what is there.
  for (const now of await storeFolder(parts.store, prefix, row.name).list()) {
    if (found.get(now.path)?.etag !== now.etag) {
      throw new AmalgamError('checkpoint_changed', `${now.path} was uploaded again meanwhile; complete it once more`);
    }
  }
  const ready = await parts.database.assets(kind).markReady(projectId, row.id, contents);
  // Somebody may have sent parts first and then the whole. What cannot be removed now goes with the unfinished writes.
  await dropParts(parts, row).catch(() => {});
  return toAssetResource(kind, ready);
}

/** What is there, files that have arrived in parts being made whole before. */
async function look(parts: Parts, row: AssetRow, prefix: string) {
  const list = async () => {
    // A folder keeps what it listed.
    const folder = storeFolder(parts.store, prefix, row.name);
    return { folder, found: new Map((await folder.list()).map((file) => [file.path, file])) };
  };
  const first = await list();
  const lacking = row.files.filter(({ path, bytes }) => first.found.get(path)?.bytes !== Number(bytes));
  if (lacking.length === 0) return { ...first, unfinished: new Map<string, Arrived>() };
  const unfinished = await joinParts(parts, row, new Set(lacking.map(({ path }) => path)));
  return { ...(await list()), unfinished };
}

function assertComplete(row: AssetRow, found: Map<string, FolderFile>, unfinished: Map<string, Arrived>): void {
  const missing: FieldError[] = [];
  const wrong: FieldError[] = [];
  row.files.forEach((file, i) => {
    const there = found.get(file.path);
    const pointer = `/files/${i}`;
    const arrived = unfinished.get(file.path);
    if (there === undefined) {
      const some =
        arrived === undefined || arrived.parts === 0 ? '' : `: ${arrived.parts} of its ${arrived.of} parts have`;
      missing.push({ pointer, detail: `"${file.path}" has not arrived${some}` });
    } else if (there.bytes !== Number(file.bytes)) {
      wrong.push({ pointer, detail: `"${file.path}" has ${there.bytes} bytes, not the stated ${file.bytes}` });
    }
  });
  if (missing.length > 0) throw refusal('upload_incomplete', missing);
  if (wrong.length > 0) throw refusal('digest_mismatch', wrong);
}

/** sha256 by path: what was computed while the file arrived, as long as it is still that file; else by reading it. */
async function digest(
  parts: Parts,
  row: AssetRow,
  prefix: string,
  found: Map<string, FolderFile>,
): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  const unknown = row.files.filter((file) => {
    const known = file.sha256 !== null && file.etag === found.get(file.path)?.etag;
    if (known && file.sha256 !== null) digests.set(file.path, file.sha256);
    return !known;
  });
  const work = unknown.values();
  const worker = async () => {
    for (const { path } of work) {
      const hash = createHash('sha256');
      for await (const chunk of await parts.store.stream(`${prefix}/${path}`)) hash.update(chunk as Buffer);
      digests.set(path, hash.digest('hex'));
    }
  };
  await Promise.all(Array.from({ length: HASHED_AT_ONCE }, worker));
  return digests;
}

function assertDigests(row: AssetRow, digests: Map<string, string>): void {
  const errors: FieldError[] = [];
  row.files.forEach(({ path, expectedSha256 }, i) => {
    const got = digests.get(path);
    if (expectedSha256 !== null && got !== expectedSha256) {
      errors.push({ pointer: `/files/${i}`, detail: `"${path}" has sha256 ${got}, not the stated ${expectedSha256}` });
    }
  });
  if (errors.length > 0) throw refusal('digest_mismatch', errors);
}

function refusal(code: 'upload_incomplete' | 'digest_mismatch', errors: FieldError[]): AmalgamError {
  return new AmalgamError(code, joinDetails(errors.map((error) => error.detail)), { errors });
}
