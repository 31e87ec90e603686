/** Plain TypeScript twin of assembly/spread.ts. */

export function variance(deltas: Float32Array[], dst: Float32Array): void {
  const mean = (terms: number[]) => terms.reduce((total, x) => total + x, 0) / terms.length;
  for (let i = 0; i < dst.length; i++) {
    const values = deltas.map((delta) => delta[i]!);
    const middle = mean(values);
    dst[i] = mean(values.map((x) => (x - middle) ** 2));
  }
}

/** In place. */
export function keepWhere(data: Uint32Array, values: Uint32Array, bar: number): void {
  for (let i = 0; i < data.length; i++) if ((values[i]! & 0x7fffffff) <= bar) data[i] = 0;
}
