import type { CheckpointDescription } from '@amalgam/tensors';

/** About 70 MB of descriptions; a model of seven billion parameters has some 300 tensors. */
const MOST_TENSORS = 200_000;
/** Characters of a config that take as much memory as a tensor's description. */
const CHARACTERS_PER_TENSOR = 100;

/**
 * Descriptions of checkpoints by their ids, those that were used last. A checkpoint that is ready never changes, so what is kept
 * here is true; whether it is still there, and whose it is, only the database knows: ask it first.
 */
export class DescriptionCache {
  readonly #kept = new Map<string, CheckpointDescription>();
  #tensors = 0;

  constructor(private readonly mostTensors: number = MOST_TENSORS) {}

  get(checkpointId: string): CheckpointDescription | undefined {
    const description = this.#kept.get(checkpointId);
    if (description === undefined) return undefined;
    // The order of a Map is that of insertion: the first was not used for longest.
    this.#kept.delete(checkpointId);
    this.#kept.set(checkpointId, description);
    return description;
  }

  /** One that is larger than everything that may be kept is not. */
  set(checkpointId: string, description: CheckpointDescription): void {
    const size = sizeOf(description);
    if (size > this.mostTensors) return;
    this.#remove(checkpointId);
    this.#kept.set(checkpointId, description);
    this.#tensors += size;
    for (const oldest of this.#kept.keys()) {
      if (this.#tensors <= this.mostTensors) return;
      this.#remove(oldest);
    }
  }

  #remove(checkpointId: string): void {
    const kept = this.#kept.get(checkpointId);
    if (kept !== undefined) this.#tensors -= sizeOf(kept);
    this.#kept.delete(checkpointId);
  }
}

/** In tensors: its own, and as many as take the memory of its configs. */
function sizeOf({ tensors, config, adapterConfig }: CheckpointDescription): number {
  let size = tensors.size;
  for (const object of [config, adapterConfig]) {
    if (object !== null) size += Math.ceil(JSON.stringify(object).length / CHARACTERS_PER_TENSOR);
  }
  return size;
}
