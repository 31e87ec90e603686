import {
  AmalgamError,
  type AssetKind,
  type AssetResources,
  type CreateAsset,
  type FieldError,
} from '@amalgam/contracts';
import { newId, toAssetResource } from '@amalgam/database';
import { assetPrefix, type Config, describeAsset, KIND_RULES, type Parts } from '@amalgam/runtime';
import { parseUri, pinUri, resolveUri } from '@amalgam/storage';
import { at, invalid } from './problem.js';
import { signUploads, UPLOAD_SECONDS } from './sign-uploads.js';
import { assertSendable, partBytesOf } from './upload-parts.js';

/** Registers what lies at a URI, or begins an upload. */
export async function createAsset<K extends AssetKind>(
  services: { parts: Parts; config: Config },
  kind: K,
  projectId: string,
  body: CreateAsset,
): Promise<AssetResources[K]> {
  if ((body.uri === undefined) === (body.files === undefined)) {
    const detail = 'give either "uri" or "files"';
    throw new AmalgamError('invalid_request', detail, { errors: [{ pointer: '', detail }] });
  }
  return body.uri === undefined
    ? beginUpload(services.parts, kind, projectId, body, body.files ?? [])
    : register(services, kind, projectId, body, body.uri);
}

async function register<K extends AssetKind>(
  { parts, config }: { parts: Parts; config: Config },
  kind: K,
  projectId: string,
  body: CreateAsset,
  asked: string,
): Promise<AssetResources[K]> {
  const { suffixes } = KIND_RULES[kind];
  const describe = async () => {
    // A branch of the hub moves on; what is registered stays what it is.
    const uri = await pinUri(asked, config.allowedRoots, config.hub);
    const open = (beside: readonly string[] = []) =>
      resolveUri(uri, config.allowedRoots, parts.buckets, { suffixes, beside }, config.hub);
    return { uri, contents: await describeAsset(kind, { open, whole: false }) };
  };
  const { uri, contents } = await describe().catch((error: unknown) => {
    throw at('/uri', error);
  });
  const row = await parts.database.assets(kind).createRegistered(projectId, {
    ...contents,
    name: body.name ?? (nameOf(uri, suffixes) || kind),
    uri,
    metadata: body.metadata ?? {},
  });
  return toAssetResource(kind, row);
}

async function beginUpload<K extends AssetKind>(
  parts: Parts,
  kind: K,
  projectId: string,
  body: CreateAsset,
  files: NonNullable<CreateAsset['files']>,
): Promise<AssetResources[K]> {
  refuseClashes(files.map((file) => file.path));
  assertSendable(files);
  const id = newId(kind);
  const storePrefix = assetPrefix(kind, id);
  const expiresAt = new Date(Date.now() + UPLOAD_SECONDS * 1000);
  const uploads = await signUploads(parts, storePrefix, files, { expiresAt, partBytes: partBytesOf(files) });
  const row = await parts.database.assets(kind).createUpload(projectId, {
    id,
    name: body.name ?? id,
    storePrefix,
    files,
    metadata: body.metadata ?? {},
    expiresAt,
  });
  return { ...toAssetResource(kind, row), uploads };
}

/** A path cannot come twice, and cannot be both a file and a folder of others. */
function refuseClashes(paths: string[]): void {
  const errors: FieldError[] = [];
  const seen = new Map<string, number>();
  paths.forEach((path, i) => {
    const first = seen.get(path);
    if (first === undefined) seen.set(path, i);
    else errors.push({ pointer: `/files/${i}/path`, detail: `"${path}" is the same path as files/${first}` });
  });
  paths.forEach((path, i) => {
    for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
      const folder = path.slice(0, slash);
      if (seen.has(folder)) {
        errors.push({ pointer: `/files/${i}/path`, detail: `"${folder}" is a file, so "${path}" cannot be` });
      }
    }
  });
  if (errors.length > 0) throw invalid(errors);
}

/** The last part of a URI that tells assets apart: every second one is called model.safetensors. */
function nameOf(uri: string, suffixes: readonly string[]): string {
  const parsed = parseUri(uri);
  if (parsed.kind === 'hub' && parsed.path === '') return parsed.repo.slice(parsed.repo.indexOf('/') + 1);
  const place = parsed.kind === 'hub' ? `${parsed.repo}/${parsed.path}` : uri;
  const parts = place.split('/').filter((part) => part !== '');
  const base = parts.at(-1) ?? '';
  const suffix = suffixes.find((end) => base.toLowerCase().endsWith(end)) ?? '';
  const last = base.slice(0, base.length - suffix.length);
  const name = /^(adapter_)?model$/.test(last) ? (parts.at(-2) ?? last) : last;
  return decoded(name).slice(0, 200);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a key of S3 may hold any %
  }
}
