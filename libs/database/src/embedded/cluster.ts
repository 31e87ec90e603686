import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { type Binaries, SHARED_ROOT, sharedFolder } from './binaries.js';
import { canEnter, type ServerUser } from './user.js';

export const ROLE = 'amalgam';

/** What is kept in postgres.json between runs. */
export interface Settings {
  port: number | null;
  dataDir: string;
}

/** Nothing of ours: PGDATA, PGOPTIONS and the like would change what the programs do. */
export const ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

export async function readSettings(dir: string): Promise<Settings | null> {
  const text = await readFile(join(dir, 'postgres.json'), 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as Settings);
}

export async function writeSettings(dir: string, settings: Settings): Promise<void> {
  const draft = join(dir, 'postgres.json.draft');
  await writeFile(draft, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
  await rename(draft, join(dir, 'postgres.json'));
}

/** The role's password, random, in a file that only we can read. */
export async function readOrMakePassword(dir: string): Promise<string> {
  const file = join(dir, 'postgres.password');
  const kept = await readFile(file, 'utf8').catch(() => null);
  if (kept !== null && kept.trim() !== '') return kept.trim();
  const password = randomBytes(24).toString('hex');
  await writeFile(file, `${password}\n`, { mode: 0o600 });
  return password;
}

/** Where the data go that have no place yet: into `dir`, or elsewhere when the user may not enter that. */
export async function chooseDataDir(
  dir: string,
  user: ServerUser | null,
  log: (line: string) => void,
): Promise<string> {
  if (await canEnter(dir, user)) return join(dir, 'data');
  const root = await sharedFolder(SHARED_ROOT, user);
  const folder = await mkdtemp(join(root, `${basename(dir).replaceAll(/[^A-Za-z0-9_-]/g, '') || 'data'}-`));
  await chmod(folder, 0o755);
  log(`${dir} is closed to user ${user?.name}, as whom Postgres runs: its data are in ${folder}`);
  return join(folder, 'data');
}

/** True when the folder holds a cluster. */
export async function isInitialised(dataDir: string): Promise<boolean> {
  return stat(join(dataDir, 'PG_VERSION')).then(
    () => true,
    () => false,
  );
}

/** Makes a cluster. It appears under its name when it is complete, so that a crash leaves none that is half made. */
export async function initialise(
  binaries: Binaries,
  user: ServerUser | null,
  options: { dataDir: string; password: string; durable: boolean },
): Promise<void> {
  const draft = await mkdtemp(join(dirname(options.dataDir), 'initdb-'));
  try {
    const data = join(draft, 'data');
    const passwordFile = join(draft, 'password');
    await mkdir(data, { mode: 0o700 });
    await writeFile(passwordFile, `${options.password}\n`, { mode: 0o600 });
    if (user !== null) {
      for (const path of [draft, data, passwordFile]) await chown(path, user.uid, user.gid);
    }
    await run(
      binaries.initdb,
      [
        `--pgdata=${data}`,
        `--username=${ROLE}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        // Built in, hence the same order of texts on every machine.
        '--locale=C',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--no-instructions',
        ...(options.durable ? [] : ['--no-sync']),
      ],
      user,
    );
    await rename(data, options.dataDir);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function run(program: string, args: string[], user: ServerUser | null): Promise<void> {
  const child = spawn(program, args, {
    cwd: '/',
    env: ENVIRONMENT,
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
  });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await new Promise<void>((resolve, reject) => {
    child.on('error', (cause) => {
      reject(new AmalgamError('unavailable', `${program} does not run: ${cause.message}`, { cause }));
    });
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new AmalgamError('unavailable', `initdb failed: ${output.trim()}`));
    });
  });
}
