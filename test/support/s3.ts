import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createBucketIfMissing } from '../../libs/storage/src/index.js';

const START_TIMEOUT_MS = 15_000;

export interface TestS3 {
  endpoint: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  bucket: string;
  /** Folder on this machine that holds the server's files; null for a server that was given. */
  folder: string | null;
  stop(): Promise<void>;
}

/** Why there is nothing to test against; the name of the suite that is skipped then. */
export const NO_S3 = 'no S3 server (install versitygw or set S3_ENDPOINT)';

/**
 * An S3 service with an empty bucket of the caller's own: the one at S3_ENDPOINT (with S3_BUCKET and AWS credentials)
 * when that is set, else a versitygw that is started here and ends with `stop`. Null when there is neither.
 */
export async function startS3(): Promise<TestS3 | null> {
  const { S3_ENDPOINT, S3_BUCKET, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION } = process.env;
  if (S3_ENDPOINT !== undefined && S3_ENDPOINT !== '') {
    const given = {
      endpoint: S3_ENDPOINT,
      region: AWS_REGION ?? 'us-east-1',
      accessKeyId: AWS_ACCESS_KEY_ID ?? '',
      secretAccessKey: AWS_SECRET_ACCESS_KEY ?? '',
      bucket: S3_BUCKET ?? 'amalgam-test',
    };
    await createBucketIfMissing(given);
    return { ...given, folder: null, stop: async () => {} };
  }
  const binary = await findVersitygw();
  return binary === null ? null : startVersitygw(binary);
}

async function startVersitygw(binary: string): Promise<TestS3> {
  const folder = await mkdtemp(join(tmpdir(), 'amalgam-s3-'));
  const objects = join(folder, 'objects');
  await mkdir(objects);
  const port = await freePort();
  const server = {
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    accessKeyId: 'test-access-key',
    secretAccessKey: randomUUID(),
    bucket: 'amalgam-test',
  };
  const child = spawn(binary, ['--port', `127.0.0.1:${port}`, '--health', '/health', '--quiet', 'posix', objects], {
    env: {
      PATH: process.env['PATH'],
      ROOT_ACCESS_KEY_ID: server.accessKeyId,
      ROOT_SECRET_ACCESS_KEY: server.secretAccessKey,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-4000);
    });
  }
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  process.once('exit', kill);
  const stop = async (): Promise<void> => {
    process.off('exit', kill);
    await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await answers(`${server.endpoint}/health`, child);
    await createBucketIfMissing(server);
  } catch (error) {
    await stop();
    throw new Error(`versitygw did not start: ${log}`, { cause: error });
  }
  return { ...server, folder: join(objects, server.bucket), stop };
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  for (const end = Date.now() + START_TIMEOUT_MS; ; ) {
    try {
      if ((await fetch(url)).ok) return;
    } catch (error) {
      if (Date.now() > end || child.exitCode !== null) throw error;
    }
    await sleep(50);
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await ended;
  clearTimeout(timer);
}

async function findVersitygw(): Promise<string | null> {
  const given = process.env['VERSITYGW'];
  if (given !== undefined && given !== '') return given;
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  for (const folder of [...folders, ...goFolders()]) {
    const path = join(folder, 'versitygw');
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  return null;
}

function goFolders(): string[] {
  const home = process.env['HOME'];
  const folders = home === undefined ? [] : [join(home, 'go', 'bin')];
  try {
    const gopath = execFileSync('go', ['env', 'GOPATH'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    for (const path of gopath.trim().split(delimiter)) folders.push(join(path, 'bin'));
  } catch {
    // no Go here
  }
  return folders;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

/** The settings with which a service uses the server. */
export function s3Env({ endpoint, region, accessKeyId, secretAccessKey, bucket }: TestS3): Record<string, string> {
  return {
    S3_ENDPOINT: endpoint,
    S3_BUCKET: bucket,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  };
}
