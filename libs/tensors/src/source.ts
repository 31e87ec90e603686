import { constants } from 'node:buffer';
import { type FileHandle, open } from 'node:fs/promises';
import { AmalgamError } from '@amalgam/contracts';

/** Random access to the bytes of one file, wherever it lies. */
export interface ByteSource {
  /** What error messages call the file. */
  readonly name: string;
  /** Bytes of the whole file. */
  size(): Promise<number>;
  /**
   * Exactly `length` bytes from `offset`, in an ArrayBuffer of their own that begins at byte 0, so that any
   * typed array may be laid over it. Past the end of the file: AmalgamError `invalid_checkpoint`.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Lets go of what the source holds, when it holds something. */
  close?(): Promise<void>;
}

export interface FileSource extends ByteSource {
  close(): Promise<void>;
}

/** One read call of the operating system takes less than 2 GiB. */
const READ_AT_ONCE = 2 ** 30;

/**
 * A file on this machine. It is opened by the first `size` or `read`; `close` may be called at any time and
 * more than once, and a later read opens the file again.
 *
 * Errors: `invalid_checkpoint` when the file is missing, unreadable, a folder, or ends too early;
 * `storage_error` when the device or the process' limits fail.
 */
export function fileSource(path: string, name: string = path): FileSource {
  let opened: Promise<FileHandle> | undefined;

  async function handle(): Promise<FileHandle> {
    opened ??= open(path, 'r');
    try {
      return await opened;
    } catch (error) {
      opened = undefined;
      throw fileError(name, error);
    }
  }

  async function size(): Promise<number> {
    const file = await handle();
    const stat = await file.stat().catch((error: unknown) => {
      throw fileError(name, error);
    });
    if (!stat.isFile()) throw new AmalgamError('invalid_checkpoint', `${name}: is not a regular file`);
    return stat.size;
  }

  async function read(offset: number, length: number): Promise<Uint8Array> {
    // Checked before anything is allocated: a length read from a broken file may be anything.
    checkRange(name, await size(), offset, length);
    const file = await handle();
    // Not from Buffer's shared pool, and not zeroed first: every byte is overwritten below.
    const bytes = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    while (filled < length) {
      const wanted = Math.min(length - filled, READ_AT_ONCE);
      const { bytesRead } = await file.read(bytes, filled, wanted, offset + filled).catch((error: unknown) => {
        throw fileError(name, error);
      });
      if (bytesRead === 0) {
        throw new AmalgamError(
          'invalid_checkpoint',
          `${name}: the file ended at byte ${offset + filled} while ${length} bytes from byte ${offset} were read`,
        );
      }
      filled += bytesRead;
    }
    return new Uint8Array(bytes.buffer, 0, length);
  }

  async function close(): Promise<void> {
    const closing = opened;
    opened = undefined;
    // A file that could not be opened has been reported to whoever read it.
    const file = await closing?.catch(() => undefined);
    await file?.close();
  }

  return { name, size, read, close };
}

/** Bytes in memory as a source. `read` copies, so what it returns is aligned and may be written to. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: async () => bytes.byteLength,
    read: async (offset, length) => {
      checkRange(name, bytes.byteLength, offset, length);
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
  };
}

function checkRange(name: string, size: number, offset: number, length: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!valid || offset + length > size) {
    throw new AmalgamError(
      'invalid_checkpoint',
      `${name}: ${length} bytes from byte ${offset} were asked for, but the file has ${size} bytes`,
    );
  }
  if (length > constants.MAX_LENGTH) {
    throw new AmalgamError(
      'invalid_checkpoint',
      `${name}: ${length} bytes cannot be read at once; at most ${constants.MAX_LENGTH} can`,
    );
  }
}

/** An operating system error as a user should see it. Whatever is not the file's fault is `storage_error`. */
export function fileError(name: string, error: unknown): AmalgamError {
  if (error instanceof AmalgamError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  const problem = typeof code === 'string' ? PROBLEMS[code] : undefined;
  if (problem !== undefined) return new AmalgamError('invalid_checkpoint', `${name}: ${problem}`, { cause: error });
  return new AmalgamError('storage_error', `${name}: cannot be read (${String(code ?? error)})`, { cause: error });
}

const PROBLEMS: Record<string, string> = {
  ENOENT: 'there is no such file or folder',
  ENOTDIR: 'is not a folder',
  EISDIR: 'is a folder, not a file',
  EACCES: 'this process may not read it',
  EPERM: 'this process may not read it',
  ELOOP: 'has too many symbolic links',
  ENAMETOOLONG: 'has a name that is too long',
  ERR_INVALID_ARG_VALUE: 'has a name that no file can have',
};
