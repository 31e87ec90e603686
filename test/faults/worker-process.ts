import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Env } from '../../apps/worker/test/stack.js';

const MAIN = fileURLToPath(new URL('../../apps/worker/dist/main.js', import.meta.url));

const alive = new Set<WorkerProcess>();

/** The worker program as a process of its own, to be killed. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  #output = '';
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    const keep = (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-200_000);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        alive.delete(this);
        resolve(signal ?? code);
      });
    });
  }

  /** Resolves when the worker takes jobs. */
  static async start(env: Env): Promise<WorkerProcess> {
    if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: run \`npm run build\` first`);
    const child = spawn(process.execPath, [MAIN], {
      env: { PATH: process.env['PATH'], ...env, AMALGAM_LOG_LEVEL: 'info' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const worker = new WorkerProcess(child);
    alive.add(worker);
    const started = new Promise<void>((resolve) => {
      child.stdout?.on('data', () => worker.#output.includes('worker started') && resolve());
    });
    const early = worker.ended.then((how) => {
      throw new Error(`the worker ended with ${how} before it had started:\n${worker.output}`);
    });
    await Promise.race([started, early]);
    early.catch(() => {});
    return worker;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return alive.has(this);
  }

  get output(): string {
    return this.#output;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }

  /** True for the id that this process has in the database. */
  is(workerId: string | undefined): boolean {
    return workerId?.includes(`_${this.pid}_`) ?? false;
  }
}

/** For afterEach: no worker outlives its test. */
export async function killWorkers(): Promise<void> {
  await Promise.all([...alive].map((worker) => worker.kill()));
}
