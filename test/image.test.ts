import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildContext, imageEnvironment, inherited, readStages, type Stage } from './support/docker.js';
import { startTestDatabase, type TestDatabase } from './support/postgres.js';
import { ROOT, readJson } from './support/workspace.js';

// Follows deploy/Dockerfile in plain folders, one for each stage, with this machine's Node in the place of the base image:
// what the images would hold is made by the very lines of the file, and started. Takes a minute and the npm registry.
const WANTED = process.env['AMALGAM_CHECK_IMAGE'] === '1';
const NAME = 'images, without an engine';
const START_MS = 60_000;

interface Locked {
  dev?: boolean;
  optional?: boolean;
  devOptional?: boolean;
}

const run = promisify(execFile);
const stages = readStages();
const children: ChildProcess[] = [];
let root = '';
let app = '';
let database: TestDatabase;

describe.skipIf(!WANTED)(WANTED ? NAME : `${NAME}: SKIPPED, AMALGAM_CHECK_IMAGE=1 asks for it`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'amalgam-image-'));
    for (const stage of stages.filter(({ name }) => ['manifests', 'build'].includes(name))) await follow(stage);
    app = folderOf('build', '/app');
    database = await startTestDatabase({ migrated: false });
  }, 600_000);

  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    await database?.stop();
    if (root !== '') await rm(root, { recursive: true, force: true });
  });

  it('hold no compilers, tests, sources or embedded Postgres', async () => {
    const { packages } = readJson<{ packages: Record<string, Locked> }>('package-lock.json');
    const needless = Object.entries(packages).filter(
      ([, { dev, optional, devOptional }]) => dev || optional || devOptional,
    );
    expect(needless.length).toBeGreaterThan(100);
    expect(needless.map(([path]) => path).filter((path) => existsSync(join(app, path)))).toEqual([]);
    const files = await readdir(app, { recursive: true });
    const ours = files.filter((file) => !file.startsWith('node_modules'));
    expect(ours.filter((file) => /(^|\/)(src|test)\/|\.env/.test(file))).toEqual([]);
    expect(ours).toContain('apps/dashboard/dist/web/index.html');
  });

  it('api: starts, migrates, is healthy by its own check, and ends at SIGTERM', async () => {
    await lives('api', { AMALGAM_PORT: String(await freePort()) });
  });

  it('worker: the same', async () => {
    await lives('worker', { AMALGAM_METRICS_PORT: String(await freePort()) });
  });

  it('worker-gpu: says what is wrong where there is no GPU, and ends', async () => {
    const env = { ...plainEnvironment(), ...imageEnvironment(stages, 'worker-gpu'), AMALGAM_HOME: join(root, 'home') };
    const started = run(process.execPath, commandOf('worker-gpu'), {
      cwd: app,
      env: { ...env, DATABASE_URL: database.url, AMALGAM_METRICS_PORT: '' },
    });
    await expect(started).rejects.toMatchObject({ code: 1, stdout: expect.stringContaining('device_unavailable') });
  });

  it('merge with the kernels and threads that they hold', async () => {
    const recipe = join(ROOT, 'examples/recipes/ties.yaml');
    await run(process.execPath, ['apps/cli/bin/amalgam.js', 'merge', recipe, '--out', join(root, 'merged')], {
      cwd: app,
    });
    expect(await readdir(join(root, 'merged'))).toContain('model.safetensors');
  });
});

/** COPY and RUN of a stage, in its folder. */
async function follow(stage: Stage): Promise<void> {
  let folder = '/';
  for (const { keyword, text, flags, words } of stage.instructions) {
    if (keyword === 'WORKDIR') {
      folder = resolve(folder, text);
      await mkdir(folderOf(stage.name, folder), { recursive: true });
    } else if (keyword === 'COPY') {
      const from = flags.find((flag) => flag.startsWith('--from='))?.slice('--from='.length);
      await copy(from, words.slice(0, -1), folderOf(stage.name, resolve(folder, words.at(-1) ?? '.')));
    } else if (keyword === 'RUN') {
      const options = { cwd: folderOf(stage.name, folder), env: plainEnvironment(), maxBuffer: 1 << 26 };
      await run('bash', ['-c', text], options);
    } else {
      throw new Error(`stage ${stage.name}: ${keyword} is not understood here`);
    }
  }
}

async function copy(from: string | undefined, sources: string[], target: string): Promise<void> {
  for (const source of sources) {
    if (from !== undefined) {
      await cp(folderOf(from, source), target, { recursive: true });
      continue;
    }
    // A folder's contents go to the target, a file goes into it.
    const files = buildContext().filter((file) => source === '.' || file === source || file.startsWith(`${source}/`));
    for (const file of files) {
      const path = source === '.' || file === source ? file : file.slice(source.length + 1);
      await mkdir(dirname(join(target, path)), { recursive: true });
      await cp(join(ROOT, file), join(target, path));
    }
  }
}

function folderOf(stage: string, path: string): string {
  return join(root, stage, path);
}

/** Without what npm and vitest add for their children, which an image would not have. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const own =
    /^(npm_|VITEST|TEST$|DEV$|PROD$|MODE$|BASE_URL$|SSR$|NODE_ENV|NODE_OPTIONS|AMALGAM_|S3_|REDIS_URL|DATABASE_URL)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
}

async function lives(name: 'api' | 'worker', settings: Record<string, string>): Promise<void> {
  const env = {
    ...plainEnvironment(),
    ...imageEnvironment(stages, name),
    AMALGAM_HOST: '127.0.0.1',
    AMALGAM_HOME: join(root, 'home'),
    DATABASE_URL: database.url,
    ...settings,
  };
  const last = (keyword: string) =>
    inherited(stages, name)
      .filter((one) => one.keyword === keyword)
      .at(-1);
  const check = JSON.parse(last('HEALTHCHECK')?.text.replace(/^.*?CMD /, '') ?? '[]') as string[];
  const child = spawn(process.execPath, commandOf(name), { cwd: app, env, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const ended = once(child, 'exit');
  for (const end = Date.now() + START_MS; ; await sleep(250)) {
    const healthy = await run(process.execPath, check.slice(1), { cwd: app, env }).then(
      () => true,
      () => false,
    );
    if (healthy) break;
    if (child.exitCode !== null || Date.now() > end) throw new Error(`${name} does not become healthy:\n${output}`);
  }
  child.kill('SIGTERM');
  const [code] = await ended;
  expect(code, output).toBe(0);
}

/** What an image starts, after `node`. */
function commandOf(name: string): string[] {
  return (
    inherited(stages, name)
      .filter(({ keyword }) => keyword === 'CMD')
      .at(-1)
      ?.words.slice(1) ?? []
  );
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
