import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';

/** Whom the server runs as, when that is not ourselves. */
export interface ServerUser {
  uid: number;
  gid: number;
  name: string;
}

/**
 * Postgres refuses to run as root, so as root it runs as the owner of the data, if there are any, else as `postgres`
 * or `nobody`. Null when we are not root: then it runs as we do.
 */
export async function serverUser(dataDir: string | undefined): Promise<ServerUser | null> {
  if (process.getuid?.() !== 0) return null;
  const users = await readUsers();
  const owner = dataDir === undefined ? undefined : await stat(dataDir).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) {
    const name = users.find((user) => user.uid === owner.uid)?.name ?? String(owner.uid);
    return { uid: owner.uid, gid: owner.gid, name };
  }
  const user = ['postgres', 'nobody'].map((name) => users.find((entry) => entry.name === name)).find(Boolean);
  if (user === undefined) {
    throw new AmalgamError(
      'unavailable',
      'Postgres does not run as root, and there is no user "postgres" or "nobody" to run it as',
    );
  }
  return user;
}

/** True when the user may enter this folder and every one above it. */
export async function canEnter(dir: string, user: ServerUser | null): Promise<boolean> {
  if (user === null) return true;
  for (let at = await realpath(dir); ; at = dirname(at)) {
    const { mode, uid, gid } = await stat(at);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

async function readUsers(): Promise<ServerUser[]> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    return name && uid && gid ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
  });
}
