import { orderKey } from './order.js';

/** Plain TypeScript twins of assembly/list.ts, over keys. */

export function keysOf(bits: Uint32Array): Uint32Array {
  return bits.map((own) => own & 0x7fffffff);
}

export function orderKeys(bits: Uint32Array): Uint32Array {
  return bits.map(orderKey);
}

/** Returns how many keys are `high` or larger; appends those of [low, high) to `list`, each with its index. */
export function listKeys(keys: Uint32Array, low: number, high: number, list: number[], first: number): number {
  let above = 0;
  keys.forEach((key, i) => {
    if (key >= high) above++;
    else if (key >= low) list.push(key, first + i);
  });
  return above;
}
