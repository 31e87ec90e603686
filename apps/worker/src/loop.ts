import type { Logger } from '@amalgam/telemetry';

/** While it keeps failing, a loop says so this often. */
const REMIND_MS = 30_000;

export interface LoopOptions {
  /** In log lines. */
  name: string;
  /** Pause between two turns. */
  everyMs: number;
  log: Logger;
}

/** Takes turns one at a time until it is stopped: after the pause, or at once when it is woken. Failures are logged. */
export class Loop {
  readonly #turn: () => Promise<void>;
  readonly #options: LoopOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;
  #toldAt: number | undefined;

  constructor(turn: () => Promise<void>, options: LoopOptions) {
    this.#turn = turn;
    this.#options = options;
  }

  start(): this {
    this.wake();
    return this;
  }

  /** A turn now, or once more when one is running. */
  wake(): void {
    if (this.#stopped) return;
    if (this.#running !== undefined) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#stopped) return;
      this.#timer = setTimeout(() => this.wake(), this.#again ? 0 : this.#options.everyMs);
      this.#again = false;
    });
  }

  /** No turn begins after this; resolves when the running one has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { name, log } = this.#options;
    try {
      await this.#turn();
      if (this.#toldAt !== undefined) log.info(`${name}: works again`);
      this.#toldAt = undefined;
    } catch (error) {
      const now = Date.now();
      if (this.#toldAt !== undefined && now - this.#toldAt < REMIND_MS) return;
      this.#toldAt = now;
      log.warn({ err: error }, `${name}: failed, trying again`);
    }
  }
}
