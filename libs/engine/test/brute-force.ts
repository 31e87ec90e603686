/**
 * The methods once more, written from the formulas with whole models in memory and sorting: independent of the engine's
 * kernels, chunks and histograms. Float32 throughout (Math.fround after each operation), so equality to the last bit is asked.
 */
const f = Math.fround;

export type Vectors = Map<string, Float32Array>;

function names(models: Vectors): string[] {
  return [...models.keys()].sort((a, b) => (a < b ? -1 : 1));
}

/** The k largest magnitudes of the concatenation, lowest index first among equals, as a mask by tensor. */
function topMask(vectors: Vectors, density: number): Map<string, boolean[]> {
  const entries = names(vectors).flatMap((name) =>
    [...vectors.get(name)!].map((x, i) => ({ name, i, m: Math.abs(x) })),
  );
  const order = entries.map((_, at) => at).sort((a, b) => entries[b]!.m - entries[a]!.m || a - b);
  const mask = new Map(
    names(vectors).map((name) => [name, new Array(vectors.get(name)!.length).fill(false) as boolean[]]),
  );
  const k = Math.max(1, Math.floor(density * entries.length));
  for (const at of order.slice(0, k)) mask.get(entries[at]!.name)![entries[at]!.i] = true;
  return mask;
}

export interface TiesSettings {
  density: number[];
  weight: number[];
  lambda: number;
  scope: 'model' | 'tensor';
  combine: 'mean' | 'sum';
}

export function ties(base: Vectors, models: Vectors[], s: TiesSettings) {
  const deltas = models.map(
    (model) => new Map(names(base).map((name) => [name, base.get(name)!.map((b, i) => f(model.get(name)![i]! - b))])),
  );
  const trimmed = deltas.map((delta, k) => {
    const groups = s.scope === 'model' ? [delta] : names(delta).map((name) => new Map([[name, delta.get(name)!]]));
    const masks = groups.map((group) => topMask(group, s.density[k]!));
    const mask = new Map(masks.flatMap((m) => [...m]));
    return new Map(names(delta).map((name) => [name, delta.get(name)!.map((x, i) => (mask.get(name)![i] ? x : 0))]));
  });
  let conflicts = 0;
  let elements = 0;
  const merged = new Map<string, Float32Array>();
  for (const name of names(base)) {
    merged.set(
      name,
      base.get(name)!.map((b, i) => {
        const x = trimmed.map((t, k) => f(f(s.weight[k]!) * t.get(name)![i]!));
        const sum = x.reduce((a, y) => f(a + y), 0);
        elements++;
        if (x.some((y) => y > 0) && x.some((y) => y < 0)) conflicts++;
        const agree = x
          .map((y, k) => ({ y, w: Math.abs(f(s.weight[k]!)) }))
          .filter(({ y }) => (sum >= 0 ? y > 0 : y < 0));
        let m = agree.reduce((a, { y }) => f(a + y), 0);
        if (s.combine === 'mean' && agree.length > 0) m = f(m / agree.reduce((a, { w }) => f(a + f(w)), 0));
        return f(b + f(f(s.lambda) * m));
      }),
    );
  }
  return { merged, conflicts: conflicts / elements, deltas };
}

export function taskArithmetic(base: Vectors, models: Vectors[], weight: number[], lambda: number, normalize: boolean) {
  return new Map(
    names(base).map((name) => [
      name,
      base.get(name)!.map((b, i) => {
        let sum = 0;
        models.forEach((model, k) => {
          const x = f(f(weight[k]!) * f(model.get(name)![i]! - b));
          sum = k === 0 ? x : f(sum + x);
        });
        if (normalize) sum = f(sum / f(weight.reduce((a, w) => a + w, 0)));
        return f(b + f(f(lambda) * sum));
      }),
    ]),
  );
}

export function linear(models: Vectors[], weight: number[], normalize: boolean) {
  return new Map(
    names(models[0]!).map((name) => [
      name,
      models[0]!.get(name)!.map((_, i) => {
        let sum = 0;
        models.forEach((model, k) => {
          const x = f(f(weight[k]!) * model.get(name)![i]!);
          sum = k === 0 ? x : f(sum + x);
        });
        return normalize ? f(sum / f(weight.reduce((a, w) => a + w, 0))) : sum;
      }),
    ]),
  );
}
