import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { encodeModel, tensorOf } from '@amalgam/onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { chooseProvider, PROVIDERS, type TriedProvider } from '../src/providers.js';
import { cudaDeviceName } from '../src/providers-cuda.js';
import { probeProvider } from '../src/providers-probe.js';
import { providerEnvironment, sessionOptions } from '../src/providers-session.js';

const run = promisify(execFile);
const program = (name: string) => new URL(`support/${name}.mjs`, import.meta.url);

/** What was said when a provider was chosen. */
class Log {
  readonly lines: { fields: object; message: string }[] = [];
  info(fields: object, message: string): void {
    this.lines.push({ fields, message });
  }
}

const usable = new Map<string, boolean>();
beforeAll(async () => {
  for (const provider of PROVIDERS) usable.set(provider, (await probeProvider(provider)).ok);
});

describe('a search', () => {
  it('that is canceled ends at once, whatever the driver does', async () => {
    const cancel = new AbortController();
    const started = performance.now();
    const log = new Log();
    const search = chooseProvider('auto', log, { entry: program('hang'), signal: cancel.signal });
    setTimeout(() => cancel.abort(), 300);
    await expect(search).rejects.toMatchObject({ code: 'canceled' });
    expect(performance.now() - started).toBeLessThan(5_000);
    expect(log.lines).toEqual([]);
  });
});

describe('a probe', () => {
  it('finds the CPU usable, and takes its time when asked to', async () => {
    expect(await probeProvider('cpu', { threads: 1 })).toEqual({ ok: true, ms: 0 });
    const timed = await probeProvider('cpu', { threads: 1, timed: true });
    expect(timed.ok && timed.ms).toBeGreaterThan(0);
  });

  it('that crashes is contained, and says what the driver said, without paths', async () => {
    const result = await probeProvider('cuda', { entry: program('abort') });
    expect(result).toEqual({
      ok: false,
      why: 'libdriver.so: assertion failed; the probe ended with SIGABRT',
    });
  });

  it('knows where its libraries are, and no secret of the service', async () => {
    const secrets = ['DATABASE_URL', 'REDIS_URL', 'AMALGAM_SECRET_KEY', 'AWS_SECRET_ACCESS_KEY', 'S3_ENDPOINT'];
    for (const name of [...secrets, 'LD_LIBRARY_PATH']) vi.stubEnv(name, 'known');
    const result = await probeProvider('cpu', { entry: program('environment') });
    vi.unstubAllEnvs();
    expect(result).toEqual({ ok: false, why: 'LD_LIBRARY_PATH' });
  });

  it('that hangs is ended', async () => {
    const result = await probeProvider('webgpu', { entry: program('hang'), timeoutMs: 500 });
    expect(result).toEqual({ ok: false, why: 'no answer within 0.5 s' });
  });

  it('that is not there says so', async () => {
    const result = await probeProvider('cpu', { entry: program('nowhere') });
    expect(result).toMatchObject({ ok: false, why: expect.stringMatching(/nowhere\.mjs.*exit code 1$/) });
    expect(JSON.stringify(result)).not.toContain('/');
  });

  it('of CUDA on a machine without it names the library that is missing', async ({ skip }) => {
    if (usable.get('cuda')) skip('CUDA works here');
    const result = await probeProvider('cuda');
    expect(result).toMatchObject({ ok: false, why: expect.stringMatching(/cuda|providers_shared/i) });
    expect(JSON.stringify(result)).not.toMatch(/node_modules|\/bin\//);
  });
});

describe('auto', () => {
  it('takes the best provider that works, and says why not those before it', async () => {
    const log = new Log();
    const { provider, device, tried } = await chooseProvider('auto', log);
    expect(tried.map((one) => one.provider)).toEqual(usable.get('cuda') ? ['cuda'] : ['cuda', 'webgpu', 'cpu']);
    expect(tried.filter(({ why }) => why === '').map((one) => one.provider)).toEqual([provider]);
    expect(tried.find((one) => one.provider === 'cuda')?.ok).toBe(usable.get('cuda'));
    expect(device.startsWith(provider)).toBe(true);
    expect(log.lines).toEqual([
      { fields: { setting: 'auto', provider, device, tried }, message: `tuning runs on ${device}` },
    ]);
    if (!usable.get('cuda') && !usable.get('webgpu')) expect(provider).toBe('cpu');
  });

  describe('where WebGPU works', () => {
    const options = { entry: program('fast-gpu') };
    afterEach(() => vi.unstubAllEnvs());
    const why = (tried: TriedProvider[], name: string) => tried.find(({ provider }) => provider === name)?.why;

    it('takes it when it is faster than the CPU', async () => {
      vi.stubEnv('TEST_WEBGPU_MS', '20');
      const { provider, tried } = await chooseProvider('auto', new Log(), options);
      expect(provider).toBe('webgpu');
      expect(why(tried, 'cuda')).toBe('no CUDA here');
      expect(why(tried, 'cpu')).toContain('20 ms against 100 ms');
    });

    it('leaves it when it is not, as with a driver in software', async () => {
      vi.stubEnv('TEST_WEBGPU_MS', '2600');
      const { provider, tried } = await chooseProvider('auto', new Log(), options);
      expect(provider).toBe('cpu');
      expect(why(tried, 'webgpu')).toContain('2600 ms against 100 ms');
    });

    it('takes it however slow when it is named', async () => {
      vi.stubEnv('TEST_WEBGPU_MS', '2600');
      expect(await chooseProvider('webgpu', new Log(), options)).toMatchObject({
        provider: 'webgpu',
        device: 'webgpu',
      });
    });
  });
});

describe('a provider that is named', () => {
  it('is taken when it works, and no other is tried', async () => {
    const tried = [{ provider: 'cpu', ok: true, why: '' }];
    expect(await chooseProvider('cpu', new Log())).toEqual({ provider: 'cpu', device: 'cpu', tried });
  });

  it.each(['cuda', 'webgpu'] as const)('%s, is refused with the reason when it does not', async (name) => {
    const options = usable.get(name) ? { entry: program('abort') } : {};
    const error = await chooseProvider(name, new Log(), options).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'device_unavailable', detail: expect.stringMatching(`^${name}: .{10}`) });
  });

  it('and auto, are refused when nothing works', async () => {
    const error = await chooseProvider('auto', new Log(), { entry: program('abort') }).catch((one: unknown) => one);
    const all = /^cuda: .*SIGABRT; webgpu: .*SIGABRT; cpu: .*SIGABRT$/;
    expect(error).toMatchObject({ code: 'device_unavailable', detail: expect.stringMatching(all) });
  });
});

describe('the device of CUDA in words', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'amalgam-smi-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const named = async (script: string) => {
    const file = join(folder, 'nvidia-smi');
    await writeFile(file, `#!/bin/sh\n${script}\n`);
    await chmod(file, 0o755);
    return cudaDeviceName({ PATH: `${folder}:${process.env['PATH']}` });
  };

  it('has the name that the GPUs share', async () => {
    expect(await named('echo NVIDIA H100 80GB HBM3; echo NVIDIA H100 80GB HBM3')).toBe('cuda: NVIDIA H100 80GB HBM3');
  });

  it('has none when they differ, when the tool fails, or is not there', async () => {
    expect(await named('echo NVIDIA L4; echo NVIDIA H100')).toBe('cuda');
    expect(await named('exit 9')).toBe('cuda');
    expect(await cudaDeviceName({ PATH: join(folder, 'none') })).toBe('cuda');
  });
});

it('the package loads no native code: that is for processes that may be lost', async () => {
  const index = new URL('../dist/index.js', import.meta.url).href;
  const script = `await import('${index}'); console.log(JSON.stringify(process.report.getReport().sharedObjects));`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script]);
  expect((JSON.parse(stdout) as string[]).length).toBeGreaterThan(2);
  expect(stdout).not.toContain('onnxruntime');
});

describe('session options', () => {
  it('keep out what copies task vectors, and CUDA’s 10-bit mantissas', () => {
    expect(sessionOptions('cpu', { threads: 3 })).toMatchObject({
      executionProviders: ['cpu'],
      graphOptimizationLevel: 'extended',
      intraOpNumThreads: 3,
      enableMemPattern: false,
      extra: { session: { disable_prepacking: '1' } },
    });
    expect(providerEnvironment('cuda')).toEqual({ NVIDIA_TF32_OVERRIDE: '0' });
    expect(providerEnvironment('cpu')).toEqual({});
  });

  it('let parts of a graph run on the CPU, unless told to be strict', () => {
    const session = (strict: boolean) => sessionOptions('cuda', { strict }).extra?.['session'];
    expect(session(false)).not.toHaveProperty('disable_cpu_ep_fallback');
    expect(session(true)).toHaveProperty('disable_cpu_ep_fallback', '1');
  });

  it('are accepted by onnxruntime', async () => {
    const type = { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 2 }] } } };
    const bytes = encodeModel({
      irVersion: 8,
      opsetImport: [{ version: 16 }],
      graph: {
        name: 'sum',
        node: [{ opType: 'Add', input: ['x', 'b'], output: ['y'], attribute: [] }],
        initializer: [tensorOf('b', 'F32', [2], [10, 20])],
        input: [{ name: 'x', type }],
        output: [{ name: 'y', type }],
        valueInfo: [],
      },
    });
    const session = await InferenceSession.create(bytes, sessionOptions('cpu'));
    const { y } = await session.run({ x: new Tensor('float32', [1, 2], [2]) });
    expect(Array.from(y?.data as Float32Array)).toEqual([11, 22]);
  });
});
