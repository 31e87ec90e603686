import { isAmalgamError } from '@amalgam/contracts';
import type { TuningState } from '@amalgam/tuning';
import type { WorkerContext } from '../context.js';
import type { Planned } from './planning.js';

/** Keeps the state of a tuning in the object store, beside the merge's shards, for an attempt that follows this one. */
export class StateKeeper {
  readonly #context: WorkerContext;
  readonly #key: string;
  #next: TuningState | undefined;
  #saving: Promise<void> | undefined;

  constructor(context: WorkerContext, { prefix, digest }: Pick<Planned, 'prefix' | 'digest'>) {
    this.#context = context;
    // The digest covers everything that a state depends on.
    this.#key = `${prefix}/tuning/${digest}.json`;
  }

  /** What an earlier attempt left; null when there is nothing. */
  async load(): Promise<TuningState | null> {
    const { store } = this.#context.parts;
    const found = await store.head(this.#key);
    if (found === null) return null;
    try {
      const bytes = await store.read(this.#key, 0, found.bytes, { etag: found.etag });
      return JSON.parse(new TextDecoder().decode(bytes)) as TuningState;
    } catch (error) {
      // An attempt that is not quite dead has just written it again.
      if (isAmalgamError(error) && error.code === 'checkpoint_changed') return this.load();
      throw error;
    }
  }

  /** The newest state wins; one is written at a time. */
  save(state: TuningState): void {
    this.#next = state;
    this.#saving ??= this.#write().finally(() => {
      this.#saving = undefined;
    });
  }

  /** Waits for what is being written. */
  async settle(): Promise<void> {
    await this.#saving;
  }

  async #write(): Promise<void> {
    while (this.#next !== undefined) {
      const state = this.#next;
      this.#next = undefined;
      try {
        await this.#context.parts.store.put(this.#key, Buffer.from(JSON.stringify(state)));
      } catch (error) {
        // The tuning goes on; a later state may be kept.
        this.#context.log.warn({ err: error }, 'the state of the tuning could not be kept');
      }
    }
  }
}
