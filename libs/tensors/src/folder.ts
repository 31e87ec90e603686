import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AmalgamError, byCodeUnit, quote } from '@amalgam/contracts';
import { type ByteSource, fileError, fileSource } from './source.js';

/** A file of a folder: its path relative to the folder, with forward slashes, and its size. */
export interface FolderFile {
  path: string;
  bytes: number;
}

/** The files of a checkpoint, wherever they lie. Paths are relative to the folder, with forward slashes. */
export interface ReadableFolder {
  /** What error messages call the folder. */
  readonly label: string;
  /** Every file, in subfolders too. */
  list(): Promise<FolderFile[]>;
  /** Opens nothing yet; whoever reads the source also closes it. */
  source(path: string): ByteSource;
  /** Where the file lies on this machine, or null when it lies elsewhere. */
  localPath(path: string): string | null;
}

/** More files than any checkpoint has: someone named the wrong folder, `/` say. */
const MAX_FILES = 100_000;

/**
 * A folder on this machine. Symbolic links to files count as files (the Hugging Face cache is made of them);
 * links to folders are not followed, so there are no circles. Listed by path, in code unit order.
 *
 * Errors: `invalid_checkpoint` when it is missing, not a folder, or holds more than 100 000 files, and when a
 * path asked of it is not relative or leads out of it.
 */
export function localFolder(dir: string, label: string = dir): ReadableFolder {
  const localPath = (path: string): string => {
    checkRelative(label, path);
    return join(dir, path);
  };
  return {
    label,
    list: async () => {
      const files: FolderFile[] = [];
      await walk(dir, '', label, files);
      return files.sort((a, b) => byCodeUnit(a.path, b.path));
    },
    source: (path) => fileSource(localPath(path), `${label}/${path}`),
    localPath,
  };
}

/**
 * One file on this machine, presented as a folder that holds just that file under its base name.
 *
 * Errors: `invalid_checkpoint` when the file is missing or another path is asked for.
 */
export function localFileFolder(file: string, label: string = file): ReadableFolder {
  const only = basename(file);
  const localPath = (path: string): string => {
    if (path !== only) {
      throw new AmalgamError('invalid_checkpoint', `${label}: is the single file ${quote(only)}, not ${quote(path)}`);
    }
    return file;
  };
  return {
    label,
    list: async () => {
      const info = await stat(file).catch((error: unknown) => {
        throw fileError(label, error);
      });
      if (!info.isFile()) throw new AmalgamError('invalid_checkpoint', `${label}: is not a regular file`);
      return [{ path: only, bytes: info.size }];
    },
    source: (path) => fileSource(localPath(path), label),
    localPath,
  };
}

async function walk(dir: string, prefix: string, label: string, files: FolderFile[]): Promise<void> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
    throw fileError(prefix === '' ? label : `${label}/${prefix}`, error);
  });
  for (const entry of entries) {
    const path = prefix + entry.name;
    const full = join(dir, entry.name);
    if (entry.isDirectory()) {
      await walk(full, `${path}/`, label, files);
    } else if (entry.isFile() || entry.isSymbolicLink()) {
      // A link that leads nowhere is not a file; neither is one that vanished since it was listed.
      const info = await stat(full).catch(() => null);
      if (info?.isFile()) files.push({ path, bytes: info.size });
      if (files.length > MAX_FILES) {
        throw new AmalgamError('invalid_checkpoint', `${label}: holds more than ${MAX_FILES} files`);
      }
    }
  }
}

function checkRelative(label: string, path: string): void {
  const parts = path.split('/');
  const climbs = parts.some((part) => part === '' || part === '.' || part === '..');
  if (climbs || path.includes('\0') || path.includes('\\')) {
    throw new AmalgamError('invalid_checkpoint', `${label}: ${quote(path)} is not a path inside the folder`);
  }
}
