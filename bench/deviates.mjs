/** A long run of normal deviates; tensors take stretches of it, so that a gigabyte is made in seconds. */
export const PERIOD = 1 << 20;

export function deviates(seed, scale) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  const values = new Float32Array(PERIOD);
  for (let i = 0; i < PERIOD; i++)
    values[i] = scale * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return values;
}
