import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { validate } from 'dockerfile-utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../libs/runtime/src/config.js';
import { interpolate, readCompose, readEnv, variables } from './support/compose.js';
import { buildContext, DOCKERFILE, ignoreRules, imageEnvironment, inherited, readStages } from './support/docker.js';
import { NO_S3, startS3, type TestS3 } from './support/s3.js';
import { type Manifest, ROOT, readJson, readText } from './support/workspace.js';

const run = promisify(execFile);
const VERSION = readJson<Manifest>('package.json').version;
const SECRET = /PASSWORD|SECRET/;

const stages = readStages();
const compose = readCompose();
const example = readEnv(readText('deploy/.env.example'));
const context = buildContext();
const scratch = mkdtempSync(join(tmpdir(), 'amalgam-deploy-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** .env as deploy/make-env writes it. */
const env = makeEnv();

function makeEnv(): Record<string, string> {
  mkdirSync(join(scratch, 'deploy'));
  for (const file of ['deploy/.env.example', 'deploy/make-env']) cpSync(join(ROOT, file), join(scratch, file));
  execFileSync('sh', ['deploy/make-env'], { cwd: scratch });
  return readEnv(readFileSync(join(scratch, '.env'), 'utf8'));
}

/** What onnxruntime-node's install script fetches: sets of files by platform, and where each file goes. */
interface InstallMetadata {
  requirements: Record<string, string[]>;
  manifests: Record<string, Record<string, unknown>>;
}

/** Every setting that a program of ours reads. */
function settings(): Set<string> {
  const sources = ['libs/runtime/src/config.ts', 'apps/api/src/main.ts', 'apps/worker/src/main.ts'].map(readText);
  return new Set(sources.join('\n').match(/(?<=')[A-Z][A-Z0-9]*(_[A-Z0-9]+)+(?=')/g));
}

function strings(environment: Record<string, unknown> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, String(value ?? '')]));
}

describe('Dockerfile', () => {
  it('is valid', () => {
    const problems = validate(readText(DOCKERFILE)).map(({ message, range }) => `${range.start.line + 1}: ${message}`);
    expect(problems).toEqual([]);
  });

  it('begins with an exact version of Node that the packages accept, and on GPUs of CUDA', () => {
    const images = stages.filter(({ base }) => !stages.some(({ name }) => name === base)).map(({ base }) => base);
    const [node, cuda, ...others] = new Set(images);
    expect(node).toMatch(/^node:(2[2-9])\.\d+\.\d+-bookworm-slim$/);
    expect(cuda).toMatch(/^nvidia\/cuda:1[23]\.\d+\.\d+-cudnn-runtime-ubuntu24\.04$/);
    expect(others).toEqual([]);
    expect(stages.filter(({ base }) => base === cuda).map(({ name }) => name)).toEqual(['worker-gpu']);
  });

  it('copies only what is there and .dockerignore lets through', () => {
    for (const { name, instructions } of stages) {
      for (const { keyword, flags, words, line } of instructions) {
        const from = flags.find((flag) => flag.startsWith('--from='))?.slice('--from='.length);
        if (from !== undefined) expect(stages.map((stage) => stage.name).slice(0, -1), `line ${line}`).toContain(from);
        if (keyword !== 'COPY' || from !== undefined) continue;
        for (const source of words.slice(0, -1).filter((word) => word !== '.')) {
          const found = context.some((file) => file === source || file.startsWith(`${source}/`));
          expect(found, `${name}, line ${line}: ${source}`).toBe(true);
        }
      }
    }
  });

  it('gives npm the manifest of every package before it installs', () => {
    const { instructions } = stages.find(({ name }) => name === 'build') ?? { instructions: [] };
    const install = instructions.findIndex(({ keyword, text }) => keyword === 'RUN' && text.startsWith('npm ci'));
    const copies = instructions.slice(0, install).filter(({ keyword }) => keyword === 'COPY');
    expect(copies.map(({ flags, words }) => [...flags, ...words].join(' '))).toEqual([
      'package.json package-lock.json .npmrc ./',
      '--from=manifests /app ./',
    ]);
    const { workspaces } = readJson<{ workspaces: string[] }>('package.json');
    const folders = stages
      .find(({ name }) => name === 'manifests')
      ?.instructions.filter((one) => one.keyword === 'COPY');
    expect(folders?.map(({ words }) => `${words[0]}/*`).sort()).toEqual([...workspaces].sort());
  });

  it.each([
    ['api', 'api'],
    ['worker', 'worker'],
    ['worker-gpu', 'worker'],
  ])('runs %s as a program that exists, confined, with an end that can be awaited', (name, program) => {
    const instructions = inherited(stages, name);
    const last = (keyword: string) => instructions.filter((one) => one.keyword === keyword).at(-1);
    expect(last('USER')?.text).toBe('node');
    expect(last('ENTRYPOINT')?.words).toEqual(['tini', '--']);
    const command = last('CMD');
    expect(command?.json, 'a shell would swallow SIGTERM').toBe(true);
    expect(command?.words).toEqual(['node', `apps/${program}/dist/main.js`]);
    expect(context).toContain(`apps/${program}/src/main.ts`);
    const environment = imageEnvironment(stages, name);
    const unread = Object.keys(environment).filter((key) => key !== 'NODE_ENV' && !settings().has(key));
    expect(unread).toEqual([]);
    const check = last('HEALTHCHECK')?.words ?? [];
    expect(check.slice(0, 3).map((word) => word.replace(/[[\],"]/g, ''))).toEqual([
      'CMD',
      'node',
      'deploy/healthcheck.mjs',
    ]);
    expect(context).toContain('deploy/healthcheck.mjs');
  });

  describe('of the GPU image', () => {
    const folder = 'node_modules/onnxruntime-node';
    const libraries = `${folder}/bin/napi-v6/linux/x64`;

    it('fetches what onnxruntime’s own script knows, to where onnxruntime looks', () => {
      const script = join(ROOT, folder, 'script/install-metadata.js');
      const { requirements, manifests } = createRequire(import.meta.url)(script) as InstallMetadata;
      const [fetch] = stages.find(({ name }) => name === 'cuda')?.instructions ?? [];
      const [, set = '', file = '', removed] =
        /^ONNXRUNTIME_NODE_INSTALL=(\w+) node (\S+)\s.*&& rm (\S+)$/s.exec(fetch?.text ?? '') ?? [];
      expect(file).toBe(`${folder}/script/install.js`);
      expect(requirements['linux/x64']).toEqual([set]);
      const fetched = Object.keys(manifests[`linux/x64:${set}`] ?? {}).map((name) => join(libraries, name));
      expect(fetched).toContain(`${libraries}/libonnxruntime_providers_cuda.so`);
      expect(fetched).toContain(removed);
      expect(existsSync(join(ROOT, libraries, 'libonnxruntime.so.1'))).toBe(true);
    });

    it.runIf(process.platform === 'linux' && process.arch === 'x64')('is not built when CUDA is another', async () => {
      const check = inherited(stages, 'worker-gpu').find(({ text }) => text.includes('ldd'))?.text ?? '';
      const app = join(scratch, 'app');
      const build = () => run('sh', ['-c', check], { cwd: app });
      await expect(build()).rejects.toThrow();
      mkdirSync(join(app, libraries), { recursive: true });
      const library = join(app, libraries, 'libonnxruntime_providers_cuda.so');
      // Stands in for it: a library that needs one of onnxruntime's and some of the system's.
      const bytes = readFileSync(join(ROOT, libraries, 'onnxruntime_binding.node'));
      writeFileSync(library, bytes);
      await build();
      bytes.write('libcublas12.so', bytes.indexOf('libstdc++.so.6'), 'latin1');
      writeFileSync(library, bytes);
      await expect(build()).rejects.toMatchObject({ stdout: expect.stringMatching(/libcublas12\.so => not found/) });
    });
  });

  it('takes Node and the program of the GPU image from the stage that has CUDA’s library', () => {
    const { instructions } = stages.find(({ name }) => name === 'worker-gpu') ?? { instructions: [] };
    const copies = instructions.filter(({ keyword }) => keyword === 'COPY');
    expect(copies.map(({ flags, words }) => [...flags, ...words].join(' '))).toEqual([
      '--from=cuda /usr/local/bin/node /usr/local/bin/',
      '--from=cuda /app /app',
    ]);
    expect(imageEnvironment(stages, 'worker-gpu')).toMatchObject({ AMALGAM_LANES: 'gpu', AMALGAM_DEVICE: 'cuda' });
  });

  it('says the version of the package', () => {
    const versions = readText(DOCKERFILE).match(/(?<=org\.opencontainers\.image\.version=")[^"]*/g);
    expect(versions).toEqual([VERSION, VERSION]);
  });
});

describe('.dockerignore', () => {
  it('keeps secrets, history and build output out', () => {
    const ignored = ignoreRules(readText('.dockerignore'));
    const out = ['.env', '.env.local', 'deploy/.env', '.git/config', '.amalgam/secret.key', 'node_modules/a/b.js'];
    out.push('libs/engine/node_modules/a.js', 'libs/engine/dist/index.js', 'libs/database/src/generated/client.ts');
    expect(out.filter((file) => !ignored(file))).toEqual([]);
    const needed = ['prisma/schema.prisma', 'prisma.config.ts', 'tsconfig.base.json', 'libs/kernels/assembly/index.ts'];
    expect(needed.filter((file) => !context.includes(file))).toEqual([]);
  });
});

describe('docker-compose.yml', () => {
  const services = Object.entries(compose.services);
  const ours = services.filter(([, { build }]) => build !== undefined);

  it('builds targets that the Dockerfile has, and names the images by version', () => {
    expect(ours.map(([name]) => name).sort()).toEqual(['api', 'bucket', 'worker', 'worker-gpu']);
    for (const [name, { build, image }] of ours) {
      expect(build?.context, name).toBe('.');
      expect(build?.dockerfile, name).toBe(DOCKERFILE);
      expect(stages.map((stage) => stage.name)).toContain(build?.target);
      expect(image, name).toBe(`amalgam-${build?.target}:${VERSION}`);
    }
  });

  it('pins the images of others', () => {
    for (const [name, { image, build }] of services) {
      if (build === undefined) expect(image, name).toMatch(/:v?\d+\.\d+(\.\d+)?$/);
    }
  });

  it('sets only what the programs read, to values that they accept', () => {
    const filled = readCompose(env);
    for (const [name, { build }] of ours) {
      const given = filled.services[name]?.environment ?? {};
      expect(
        Object.keys(given).filter((key) => !settings().has(key)),
        name,
      ).toEqual([]);
      const config = loadConfig({ ...imageEnvironment(stages, build?.target ?? ''), ...strings(given) });
      expect(config.host).toBe('0.0.0.0');
      expect(config.databaseUrl).toBe(`postgresql://amalgam:${env['POSTGRES_PASSWORD']}@postgres:5432/amalgam`);
      expect(config.redisUrl).toBe(`redis://:${env['REDIS_PASSWORD']}@redis:6379`);
      expect(config.s3).toMatchObject({ endpoint: 'http://s3:7070', secretAccessKey: env['S3_SECRET_KEY'] });
      expect(config.secretKey.toString('hex')).toBe(env['AMALGAM_SECRET_KEY']);
    }
  });

  it('names hosts and ports of services that are there', () => {
    for (const [name, { environment }] of ours) {
      for (const key of ['DATABASE_URL', 'REDIS_URL', 'S3_ENDPOINT']) {
        const host = new URL(interpolate(environment?.[key] ?? '', env)).hostname;
        expect(Object.keys(compose.services), `${name}: ${key}`).toContain(host);
        const shared = compose.services[host]?.networks?.filter((one) =>
          compose.services[name]?.networks?.includes(one),
        );
        expect(shared, `${name} reaches ${host}`).not.toEqual([]);
      }
    }
  });

  it('waits for services that are there and say how they are', () => {
    for (const [name, { depends_on }] of services) {
      for (const [target, { condition }] of Object.entries(depends_on ?? {})) {
        const service = compose.services[target];
        expect(service, `${name} waits for ${target}`).toBeDefined();
        if (condition === 'service_healthy') expect(service?.healthcheck?.test, target).toBeDefined();
        // One that is always restarted never completes.
        if (condition === 'service_completed_successfully')
          expect(service?.restart, target).toMatch(/^(no|on-failure)/);
      }
    }
  });

  it('asks after health with commands that the images have', () => {
    const commands: Record<string, RegExp> = {
      postgres: /^CMD pg_isready /,
      redis: /^CMD-SHELL redis-cli ping/,
      versity: /^CMD wget -q /, // busybox of its Alpine base
      amalgam: /^CMD node deploy\/healthcheck\.mjs AMALGAM_\w+ \/\w+$/,
    };
    for (const [name, { image, healthcheck, environment, build }] of services) {
      if (healthcheck?.disable === true) continue;
      const test = healthcheck?.test?.join(' ') ?? '';
      expect(test, name).toMatch(commands[image.split(/[-:/]/)[0] ?? ''] ?? /^$/);
      const variable = /AMALGAM_\w+/.exec(test)?.[0];
      if (build === undefined || variable === undefined) continue;
      const known = { ...imageEnvironment(stages, build.target), ...environment };
      expect(known[variable], name).toMatch(/^\d+$/);
    }
  });

  it('runs only programs that the image holds', () => {
    for (const [name, { command }] of ours) {
      if (command !== undefined) expect(context, name).toContain(command[1]);
    }
  });

  it('binds ports to this machine only, unless told otherwise', () => {
    const ports = Object.values(readCompose({ ...env, BIND_ADDRESS: '' }).services).flatMap((one) => one.ports ?? []);
    expect(ports.length).toBeGreaterThan(0);
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
  });

  it('asks for a GPU only in the service that is started when it is asked for', () => {
    const optional = services.filter(([, { profiles }]) => profiles !== undefined);
    expect(optional.map(([name, { profiles }]) => [name, profiles])).toEqual([['worker-gpu', ['gpu']]]);
    const devices = services.map(([name, { deploy }]) => [name, deploy?.resources?.reservations?.devices]);
    expect(devices.filter(([, wanted]) => wanted !== undefined)).toEqual([
      ['worker-gpu', [{ driver: 'nvidia', count: 1, capabilities: ['gpu'] }]],
    ]);
  });

  it('has every lane taken, with GPU workers and without', () => {
    const lanes = (name: string, given: Record<string, string>) => {
      const filled = readCompose({ ...env, ...given }).services[name];
      const image = imageEnvironment(stages, filled?.build?.target ?? '');
      return loadConfig({ AMALGAM_HOME: scratch, ...image, ...strings(filled?.environment) }).worker.lanes;
    };
    expect(lanes('worker', {})).toEqual(['cpu', 'gpu', 'delivery']);
    expect(lanes('worker', { WORKER_LANES: 'cpu,delivery' })).toEqual(['cpu', 'delivery']);
    expect(lanes('worker-gpu', {})).toEqual(['gpu']);
  });

  it('publishes no database, queue or their network', () => {
    for (const name of ['postgres', 'redis']) {
      expect(compose.services[name]?.ports).toBeUndefined();
      expect(compose.services[name]?.networks).toEqual(['servers']);
    }
    expect(compose.networks['servers']).toEqual({ internal: true });
  });

  it('declares every volume and network that it uses', () => {
    for (const [name, { volumes, networks }] of services) {
      const named = (volumes ?? []).filter((volume) => !volume.startsWith('/')).map((volume) => volume.split(':')[0]);
      for (const volume of named) expect(Object.keys(compose.volumes), name).toContain(volume);
      for (const network of networks ?? []) expect(Object.keys(compose.networks), name).toContain(network);
    }
  });

  it('gives workers more time to stop than they take, and Redis what BullMQ asks for', () => {
    for (const name of ['worker', 'worker-gpu']) {
      const worker = compose.services[name];
      const grace = Number(worker?.environment?.['AMALGAM_GRACE_MS']);
      // 30 s is what the worker itself allows for handing back, after which it ends anyway.
      expect(Number.parseInt(worker?.stop_grace_period ?? '0', 10) * 1000).toBeGreaterThanOrEqual(grace + 30_000);
    }
    const redis = compose.services['redis']?.command?.join(' ');
    expect(redis).toContain('--appendonly yes');
    expect(redis).toContain('--maxmemory-policy noeviction');
  });

  it('has no secret of its own: it refuses to start without them', () => {
    const secrets = variables().filter(({ name }) => SECRET.test(name));
    expect([...new Set(secrets.map(({ name }) => name))].sort()).toEqual(
      ['AMALGAM_SECRET_KEY', 'POSTGRES_PASSWORD', 'REDIS_PASSWORD', 'S3_SECRET_KEY'].sort(),
    );
    for (const { name, required } of secrets) {
      expect(required, name).toBe(true);
      expect(example[name], name).toBe('');
      expect(() => readCompose({ ...env, [name]: '' })).toThrow(name);
    }
  });

  it('is documented: .env.example has exactly its variables, with the same defaults', () => {
    expect([...new Set(variables().map(({ name }) => name))].sort()).toEqual(Object.keys(example).sort());
    for (const { name, required, fallback } of variables()) {
      if (!required) expect(fallback, name).toBe(example[name]);
    }
  });

  it('is accepted by docker compose or its loader', async ({ skip }) => {
    const file = join(scratch, 'docker-compose.yml');
    writeFileSync(file, interpolate(readText('docker-compose.yml'), env));
    mkdirSync(join(scratch, 'deploy'), { recursive: true });
    const loader = process.env['AMALGAM_COMPOSE_GO'];
    const hasPlugin = await run('docker', ['compose', 'version']).then(
      () => true,
      () => false,
    );
    if (hasPlugin) await run('docker', ['compose', '-f', file, 'config', '--quiet'], { cwd: scratch });
    else if (loader !== undefined && loader !== '') await run(loader, ['-no-interpolation', file], { cwd: scratch });
    else skip('no docker compose, and AMALGAM_COMPOSE_GO names no loader: checked by our own parsing only');
  });
});

describe('make-env', () => {
  it('makes a secret of 64 digits for each name that needs one, for its owner only', () => {
    const made = Object.entries(env).filter(([name]) => SECRET.test(name));
    expect(made.length).toBe(4);
    for (const [name, value] of made) expect(value, name).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(made.map(([, value]) => value)).size).toBe(4);
    expect(statSync(join(scratch, '.env')).mode & 0o777).toBe(0o600);
    for (const [name, value] of Object.entries(example)) if (!SECRET.test(name)) expect(env[name]).toBe(value);
  });

  it('leaves an .env alone', async () => {
    const before = readFileSync(join(scratch, '.env'), 'utf8');
    await expect(run('sh', ['deploy/make-env'], { cwd: scratch })).rejects.toThrow(/there already/);
    expect(readFileSync(join(scratch, '.env'), 'utf8')).toBe(before);
  });

  it('writes where git does not look', () => {
    expect(execFileSync('git', ['check-ignore', '.env'], { cwd: ROOT, encoding: 'utf8' })).toBe('.env\n');
    expect(existsSync(join(ROOT, '.env')) && context.includes('.env')).toBe(false);
  });
});

describe('healthcheck', () => {
  let status = 200;
  const server = createServer((_request, response) => response.writeHead(status).end());
  let port = '';
  beforeAll(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    port = typeof address === 'object' && address !== null ? String(address.port) : '';
  });
  afterAll(() => server.close());

  const check = (given: string) =>
    run(process.execPath, ['deploy/healthcheck.mjs', 'AMALGAM_PORT', '/readyz'], {
      cwd: ROOT,
      env: { ...process.env, AMALGAM_PORT: given },
    });

  it('succeeds for an answer with 2xx', async () => {
    status = 200;
    await check(port);
  });

  it('fails for any other, and for none', async () => {
    status = 503;
    await expect(check(port)).rejects.toThrow(/status 503/);
    await expect(check('1')).rejects.toThrow(/AMALGAM_PORT=1/);
  });
});

const s3: TestS3 | null = await startS3();
afterAll(() => s3?.stop());

describe(s3 === null ? `bucket step: SKIPPED, ${NO_S3}` : 'bucket step', () => {
  it.skipIf(s3 === null && process.env['AMALGAM_REQUIRE_S3'] !== '1')(
    'makes the bucket, and again changes nothing',
    async () => {
      if (s3 === null) throw new Error(`AMALGAM_REQUIRE_S3=1, but there is ${NO_S3}`);
      const options = {
        cwd: ROOT,
        env: {
          ...process.env,
          AMALGAM_HOME: scratch,
          S3_ENDPOINT: s3.endpoint,
          S3_BUCKET: `deploy-${process.pid}`,
          AWS_REGION: s3.region,
          AWS_ACCESS_KEY_ID: s3.accessKeyId,
          AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
        },
      };
      for (let i = 0; i < 2; i++) {
        const { stdout } = await run(process.execPath, ['deploy/create-bucket.mjs'], options);
        expect(stdout).toBe(`bucket deploy-${process.pid} is there\n`);
      }
    },
  );
});
