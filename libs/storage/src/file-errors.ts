import { AmalgamError, isAmalgamError, isNoSpace } from '@amalgam/contracts';

/** The `code` of a system error (ENOENT, EEXIST, …), or undefined. */
export function errno(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** True for "there is nothing at this path", also when a parent is a file. */
export function isMissing(error: unknown): boolean {
  const code = errno(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/**
 * What to throw for a failed file operation on `what` ("object a/b", say): the signal's reason when it was aborted,
 * storage_full, not_found, or storage_error. Errors that are AmalgamErrors already pass through.
 */
export function fileError(error: unknown, what: string, signal?: AbortSignal): unknown {
  if (isAmalgamError(error)) return error;
  if (signal?.aborted) return signal.reason;
  if (isNoSpace(error))
    return new AmalgamError('storage_full', `${what}: no space left on the device`, { cause: error });
  switch (errno(error)) {
    case 'ENOENT':
      return new AmalgamError('not_found', `${what}: there is no such file`, { cause: error });
    case 'EEXIST':
    case 'EISDIR':
    case 'ENOTDIR':
    case 'ENOTEMPTY':
      return new AmalgamError('storage_error', `${what}: a name cannot be both an object and a folder`, {
        cause: error,
      });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new AmalgamError('storage_error', `${what}: the service may not access this file`, { cause: error });
    default: {
      const reason = errno(error) ?? (error instanceof Error ? error.message : String(error));
      return new AmalgamError('storage_error', `${what}: ${reason}`, { cause: error });
    }
  }
}
