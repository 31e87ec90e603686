import { AmalgamError, type AssetKind, type AssetResources, type UploadTarget } from '@amalgam/contracts';
import { type AssetRow, toAssetResource } from '@amalgam/database';
import type { Parts } from '@amalgam/runtime';
import { storeFolder } from '@amalgam/storage';
import { partBytesOf, signParts } from './upload-parts.js';

/** How long an upload may take; after that it is given up, and its links are good no longer. */
export const UPLOAD_SECONDS = 24 * 3600;
const SIGNED_AT_ONCE = 50;

/** A link for each file below `prefix`, and for its parts where they are several, good until the upload is given up. */
export async function signUploads(
  parts: Parts,
  prefix: string,
  files: readonly { path: string; bytes: number }[],
  { expiresAt, partBytes }: { expiresAt: Date; partBytes: number },
): Promise<UploadTarget[]> {
  const expiresSeconds = Math.max(1, Math.floor((expiresAt.getTime() - Date.now()) / 1000));
  const sign = async (file: { path: string; bytes: number }) => {
    const { path, bytes } = file;
    const signed = await signParts(parts, prefix, file, { partBytes, expiresSeconds });
    return {
      path,
      method: 'PUT' as const,
      url: await parts.store.signedPutUrl(`${prefix}/${path}`, { expiresSeconds, bytes }),
      ...(signed === null ? {} : { parts: signed }),
      expires_at: expiresAt.toISOString(),
    };
  };
  const uploads: UploadTarget[] = [];
  for (let i = 0; i < files.length; i += SIGNED_AT_ONCE) {
    uploads.push(...(await Promise.all(files.slice(i, i + SIGNED_AT_ONCE).map(sign))));
  }
  return uploads;
}

/**
 * A pending upload with new links for those of its files that have not arrived with their whole size.
 *
 * @throws AmalgamError `object_exists` when there is nothing to upload any more
 */
export async function resumeUpload<K extends AssetKind>(
  parts: Parts,
  kind: K,
  row: AssetRow,
): Promise<AssetResources[K]> {
  if (row.state !== 'pending' || row.storePrefix === null || row.expiresAt === null) {
    throw new AmalgamError('object_exists', `${row.id} is complete, so its files do not change any more`);
  }
  const found = await storeFolder(parts.store, row.storePrefix, row.name).list();
  const sizes = new Map(found.map(({ path, bytes }) => [path, bytes]));
  const missing = row.files
    .map(({ path, bytes }) => ({ path, bytes: Number(bytes) }))
    .filter(({ path, bytes }) => sizes.get(path) !== bytes);
  const partBytes = partBytesOf(row.files);
  const uploads = await signUploads(parts, row.storePrefix, missing, { expiresAt: row.expiresAt, partBytes });
  return { ...toAssetResource(kind, row), uploads };
}
