/** Plain TypeScript twin of assembly/spread.ts. */

export function variance(deltas: Float32Array[], dst: Float32Array): void {
  const mean = (terms: number[]) => terms.reduce((total, x) => total + x, 0) / terms.length;
  for (let i = 0; i < dst.length; i++) {
    const values = deltas.map((delta) => delta[i]!);
    const middle = mean(values);
    dst[i] = mean(values.map((x) => (x - middle) ** 2));
  }
}

/** In place, over the bits of `deltas`. */
export function keepVaried(deltas: Uint32Array[], key: number, ties: number): void {
  const spread = new Float32Array(deltas[0]!.length);
  variance(
    deltas.map((delta) => new Float32Array(delta.buffer, delta.byteOffset, delta.length)),
    spread,
  );
  new Uint32Array(spread.buffer).forEach((bits, i) => {
    const own = bits & 0x7fffffff;
    if (own < key || (own === key && i >= ties)) for (const delta of deltas) delta[i] = 0;
  });
}

/** In place. */
export function keepWhere(data: Uint32Array, values: Uint32Array, bar: number): void {
  for (let i = 0; i < data.length; i++) if ((values[i]! & 0x7fffffff) <= bar) data[i] = 0;
}
