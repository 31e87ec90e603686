import { AmalgamError, isNoSpace } from '@amalgam/contracts';

const PROBLEMS: Record<string, string> = {
  ENOENT: 'is not there',
  ENOTDIR: 'is not in a folder',
  EISDIR: 'is a folder',
  EACCES: 'may not be read by this process',
  EPERM: 'may not be read by this process',
  ELOOP: 'has too many symbolic links',
  ENAMETOOLONG: 'has a name that is too long',
  ERR_INVALID_ARG_VALUE: 'has a name that no file can have',
};

/** An operating system error on reading: `invalid_graph` when it is the file's fault, otherwise `storage_error`. */
export function fileError(name: string, error: unknown): AmalgamError {
  if (error instanceof AmalgamError) return error;
  const code = codeOf(error);
  const problem = PROBLEMS[code];
  if (problem !== undefined) return new AmalgamError('invalid_graph', `${name} ${problem}`, { cause: error });
  return new AmalgamError('storage_error', `${name} cannot be read (${code})`, { cause: error });
}

/** An operating system error on writing: `storage_full` or `storage_error`. */
export function writeError(name: string, error: unknown): AmalgamError {
  if (error instanceof AmalgamError) return error;
  const code = isNoSpace(error) ? 'storage_full' : 'storage_error';
  return new AmalgamError(code, `${name} cannot be written (${codeOf(error)})`, { cause: error });
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? error);
}
