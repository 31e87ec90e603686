import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dtype } from '@amalgam/contracts';
import { bytesSource, describeCheckpoint, encodeSafetensors, fromFloat32, type ReadableFolder } from '@amalgam/tensors';
import type { ArrangedInput } from '../../src/index.js';
import * as decoders from './decoders.js';
import * as encoders from './encoders.js';
import type { Sizes, TinyModel } from './shapes.js';

export { VISION_LAYERS } from './encoders.js';
export type { Sizes, TinyModel } from './shapes.js';

/**
 * Tiny checkpoints with the names and configs of Hugging Face's, made when a test wants them and the same at every time: for
 * tests of any package. `transformers` loads each without a missing or unexpected weight.
 */
export const FAMILIES = {
  llama: decoders.llama,
  mistral: decoders.mistral,
  qwen2: decoders.qwen2,
  qwen3: decoders.qwen3,
  gemma: decoders.gemma,
  gemma3: decoders.gemma3,
  phi: decoders.phi,
  gpt2: decoders.gpt2,
  mixtral: decoders.mixtral,
  bert: encoders.bert,
  t5: encoders.t5,
  clip: encoders.clip,
  vit: encoders.vit,
  llava: encoders.llava,
} as const satisfies Record<string, (sizes?: Sizes) => TinyModel>;

export type Family = keyof typeof FAMILIES;

export interface Fill {
  /** Models of one family and different seeds are near one another, as fine-tunes are: 0 is their base. Default 0. */
  seed?: number;
  dtype?: Dtype;
}

/** Writes model.safetensors and config.json into a folder, which is made. */
export async function writeModel(folder: string, { shapes, config }: TinyModel, fill: Fill = {}): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'model.safetensors'), encodeModel(shapes, fill));
  await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
}

/** A model that may lack a config. */
export type Described = Pick<TinyModel, 'shapes'> & { config: TinyModel['config'] | null };

/** The same in memory, described as planning needs it. */
export async function describeModel(reference: string, { shapes, config }: Described): Promise<ArrangedInput> {
  const files = new Map([
    ['config.json', Buffer.from(JSON.stringify(config))],
    ['model.safetensors', Buffer.from(encodeModel(shapes, {}))],
  ]);
  const folder: ReadableFolder = {
    label: reference,
    list: async () => [...files].map(([path, { length: bytes }]) => ({ path, bytes })),
    source: (path) => bytesSource(path, files.get(path) ?? Buffer.alloc(0)),
    localPath: () => null,
  };
  return { reference, checkpoint: await describeCheckpoint(folder) };
}

function encodeModel(shapes: TinyModel['shapes'], { seed = 0, dtype = 'F32' }: Fill): Uint8Array {
  return encodeSafetensors(
    Object.entries(shapes).map(([name, shape]) => ({
      name,
      dtype,
      shape,
      data: fromFloat32(dtype, weights(name, shape, seed)),
    })),
    { format: 'pt' },
  );
}

/** Values of a weight: the base's, and a hundredth of another model's on top. */
function weights(name: string, shape: readonly number[], seed: number): Float32Array {
  const elements = shape.reduce((product, size) => product * size, 1);
  const base = noise(`0 ${name}`);
  const own = noise(`${seed} ${name}`);
  // Norms scale by about one; other weights are small, as initialisers make them.
  const centre = /(norm|ln_\w+|layrnorm)\d?\.weight$/i.test(name) ? 1 : 0;
  return Float32Array.from({ length: elements }, () => {
    const value = centre + 0.1 * base();
    return seed === 0 ? value : value + 0.01 * own();
  });
}

/** Numbers from -1 to 1, given by the text: mulberry32 from its FNV-1a hash. */
function noise(text: string): () => number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}
