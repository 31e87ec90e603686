import { AmalgamError } from '@amalgam/contracts';
import type { UploadFile } from './upload.js';

/**
 * What to upload of a path of this machine: the one file, or every file of a folder with the folders below it. Hidden ones
 * are left out; links are followed to files, not to folders.
 *
 * @throws AmalgamError `not_found`
 */
export async function uploadFiles(path: string): Promise<UploadFile[]> {
  const [{ readdir, stat }, { basename, join }] = await Promise.all([import('node:fs/promises'), import('node:path')]);
  const info = await stat(path).catch((cause: unknown) => {
    throw new AmalgamError('not_found', `there is no file or folder ${path}`, { cause });
  });
  if (!info.isDirectory()) return [{ path: basename(path), file: path }];
  const files: UploadFile[] = [];
  const walk = async (folder: string, prefix: string): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const file = join(folder, entry.name);
      if (entry.name.startsWith('.')) continue;
      if (entry.isDirectory()) await walk(file, `${prefix}${entry.name}/`);
      else if ((await stat(file).catch(() => null))?.isFile()) files.push({ path: prefix + entry.name, file });
    }
  };
  await walk(path, '');
  return files;
}
