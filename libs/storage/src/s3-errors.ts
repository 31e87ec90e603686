import { AmalgamError, isAmalgamError } from '@amalgam/contracts';

/** Where a call went; it names the object in errors. */
export interface S3Place {
  bucket: string;
  /** Full key or prefix in the bucket; '' for the bucket itself. */
  key: string;
}

interface ErrorFacts {
  name: string;
  message: string;
  status: number | undefined;
  attempts: number;
}

/** What the SDK tells about a failure. */
export function factsOf(error: unknown): ErrorFacts {
  const given = (error ?? {}) as {
    name?: unknown;
    Code?: unknown;
    code?: unknown;
    message?: unknown;
    $metadata?: { httpStatusCode?: number; attempts?: number };
  };
  const names = [given.Code, given.code, given.name].filter((name): name is string => typeof name === 'string');
  return {
    name: names.find((name) => name !== 'Error' && name !== 'Unknown') ?? 'Error',
    message: typeof given.message === 'string' ? given.message : '',
    status: given.$metadata?.httpStatusCode,
    attempts: given.$metadata?.attempts ?? 1,
  };
}

export function isStatus(error: unknown, status: number): boolean {
  return factsOf(error).status === status;
}

const MISSING = new Set(['NoSuchKey', 'NotFound', 'NoSuchUpload']);
const REFUSED = new Set(['AccessDenied', 'InvalidAccessKeyId', 'SignatureDoesNotMatch', 'ExpiredToken']);

/** No such object or upload. The name decides: servers also answer 404 for a missing bucket or an unknown access key. */
export function isNotFound(error: unknown): boolean {
  return MISSING.has(factsOf(error).name);
}

/**
 * What to throw for a failed call: the signal's reason when it was aborted, else an AmalgamError that names bucket and
 * key. The SDK's error is left out on purpose: its messages and responses can hold access keys and signatures.
 */
export function s3Error(error: unknown, place: S3Place, signal?: AbortSignal): unknown {
  if (isAmalgamError(error)) return error;
  if (signal?.aborted) return signal.reason;
  const { name, message, status } = factsOf(error);
  const where = `s3://${place.bucket}/${place.key}`;
  const cause = new Error(status === undefined ? name : `${name}, HTTP ${status}`);
  if (status === 507 || /no space|quota ?exceeded|insufficient ?storage|storage ?full/i.test(`${name} ${message}`)) {
    return new AmalgamError('storage_full', `${where}: the object store has no space left`, { cause });
  }
  if (name === 'NoSuchBucket') {
    return new AmalgamError('storage_error', `${where}: there is no such bucket`, { cause });
  }
  if (isNotFound(error)) return new AmalgamError('not_found', `${where}: there is no such object`, { cause });
  if (status === 401 || status === 403 || REFUSED.has(name)) {
    return new AmalgamError('storage_error', `${where}: the object store refuses access (${name})`, { cause });
  }
  if (status === undefined) {
    const detail = `${where}: the object store cannot be reached or did not answer (${name})`;
    return new AmalgamError('storage_error', detail, { cause });
  }
  return new AmalgamError('storage_error', `${where}: the object store answered ${status} (${name})`, { cause });
}
