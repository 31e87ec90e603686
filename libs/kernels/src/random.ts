import { createHash } from 'node:crypto';

/**
 * The stream of random words of one tensor of one model (assembly/random.ts): its key is the seed and the model's place, and half of
 * its counter the first 64 bits of the SHA-256 of the tensor's name. So no two streams of a seed overlap, but for names whose
 * hashes collide, and a mask depends on nothing else: not on other tensors, nor on chunks or threads.
 */
export function randomStream(seed: number, model: number, tensor: string): Uint32Array {
  const hash = createHash('sha256').update(tensor).digest();
  return Uint32Array.of(seed, model, hash.readUInt32LE(0), hash.readUInt32LE(4));
}
