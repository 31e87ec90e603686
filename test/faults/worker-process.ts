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
    this.signal('SIGKILL'); // reaches a stopped process, too
    await this.ended;
  }

  /** True for the id that this process has in the database. */
  is(workerId: string | undefined): boolean {
    return workerId?.includes(`_${this.pid}_`) ?? false;
  }
}

/** Workers of one kind, which are replaced when they have ended: starting one takes longer than most merges. */
export class WorkerPool {
  #workers: WorkerProcess[] = [];
  #filling: Promise<unknown> = Promise.resolve();

  constructor(
    readonly env: Env,
    readonly size: number,
  ) {}

  /** Starts what is missing; then there are as many as there should be, all running. */
  fill(): Promise<WorkerProcess[]> {
    const filled = this.#filling.then(() => this.#fill());
    this.#filling = filled.catch(() => {});
    return filled;
  }

  /** The one with this id in the database, if it runs. */
  find(workerId: string | undefined): WorkerProcess | undefined {
    return this.#workers.find((worker) => worker.running && worker.is(workerId));
  }

  async #fill(): Promise<WorkerProcess[]> {
    const running = this.#workers.filter((worker) => worker.running);
    const missing = Array.from({ length: this.size - running.length }, () => WorkerProcess.start(this.env));
    this.#workers = [...running, ...(await Promise.all(missing))];
    return this.#workers;
  }

  async kill(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()));
  }
}

/** For afterEach or afterAll: no worker outlives its test. */
export async function killWorkers(): Promise<void> {
  await Promise.all([...alive].map((worker) => worker.kill()));
}
