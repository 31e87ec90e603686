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

function taskVectors(base: Vectors, models: Vectors[]): Vectors[] {
  return models.map(
    (model) => new Map(names(base).map((name) => [name, base.get(name)!.map((b, i) => f(model.get(name)![i]! - b))])),
  );
}

/** Keeps each task vector's share of largest magnitudes over all tensors. */
function trimmed(vectors: Vectors, density: number): Vectors {
  const mask = topMask(vectors, density);
  return new Map(names(vectors).map((name) => [name, vectors.get(name)!.map((x, i) => (mask.get(name)![i] ? x : 0))]));
}

/** What AdaMerging learns coefficients for: task vectors, with a density those of the ++ variant. */
export function tunedVectors(base: Vectors, models: Vectors[], density: number | null) {
  const whole = taskVectors(base, models);
  if (density === null) return { vectors: whole, whole, conflicts: 0 };
  const kept = whole.map((vectors) => trimmed(vectors, density));
  let conflicts = 0;
  const vectors = kept.map((): Vectors => new Map());
  for (const name of names(base)) {
    const elected = kept.map((own) => own.get(name)!.slice());
    base.get(name)!.forEach((_, i) => {
      const sum = kept.reduce((all, own) => f(all + own.get(name)![i]!), 0);
      if (elected.some((own) => own[i]! > 0) && elected.some((own) => own[i]! < 0)) conflicts++;
      for (const own of elected) if (sum >= 0 ? own[i]! < 0 : own[i]! > 0) own[i] = 0;
    });
    elected.forEach((own, k) => {
      vectors[k]!.set(name, own);
    });
  }
  return { vectors, whole, conflicts };
}

/** The base plus task vectors by the coefficients of their tensor's row. */
export function adamerging(base: Vectors, vectors: Vectors[], rowOf: (name: string) => number[]): Vectors {
  return new Map(
    names(base).map((name) => [
      name,
      base.get(name)!.map((b, i) => {
        const terms = rowOf(name)
          .map((c, k) => ({ c: f(c), x: vectors[k]!.get(name)![i]! }))
          .filter(({ c }) => c !== 0)
          .map(({ c, x }) => f(c * x));
        return terms.length === 0 ? b : f(b + terms.reduce((all, term) => f(all + term)));
      }),
    ]),
  );
}

export interface TiesSettings {
  density: number[];
  weight: number[];
  lambda: number;
  scope: 'model' | 'tensor';
  combine: 'mean' | 'sum';
}

export function ties(base: Vectors, models: Vectors[], s: TiesSettings) {
  const deltas = taskVectors(base, models);
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
