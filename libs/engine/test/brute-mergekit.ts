/** Methods of mergekit once more, in float64 on whole tensors, from their formulas. */
type Vector = number[];

const sum = (list: number[]) => list.reduce((total, x) => total + x, 0);
const along = <T>(length: number, valueAt: (i: number) => T) => Array.from({ length }, (_, i) => valueAt(i));

/** Over task vectors: by entry, the models that have moved it. */
function movers(vectors: Vector[], epsilon: number): number[][] {
  return along(vectors[0]!.length, (i) => vectors.flatMap((v, k) => (Math.abs(v[i]!) > epsilon ? [k] : [])));
}

export function ram(vectors: Vector[], epsilon: number, factors = vectors.map(() => 1)): Vector {
  return movers(vectors, epsilon).map((moved, i) => {
    if (moved.length === 0) return 0;
    if (moved.length === 1) return factors[moved[0]!]! * vectors[moved[0]!]![i]!;
    return sum(moved.map((k) => vectors[k]![i]!)) / moved.length;
  });
}

export function ramplusTl(vectors: Vector[], r: number, alpha: number, epsilon: number): Vector {
  const moved = movers(vectors, epsilon);
  const factors = vectors.map((_, k) => {
    const own = moved.filter((list) => list.includes(k));
    const alone = own.filter((list) => list.length === 1).length;
    const rho = (own.length - alone) / Math.max(alone, epsilon);
    return 1 + r * Math.min(Math.max(rho, 0), alpha);
  });
  return ram(vectors, epsilon, factors);
}

export function sce(vectors: Vector[], share: number): Vector {
  const n = vectors[0]!.length;
  const count = vectors.length;
  const variances = along(n, (i) => {
    const mean = sum(vectors.map((v) => v[i]!)) / count;
    return Math.fround(sum(vectors.map((v) => (v[i]! - mean) ** 2)) / count);
  });
  const varying = variances.filter((x) => x !== 0).length;
  const order = along(n, (i) => i).sort((a, b) => variances[b]! - variances[a]! || a - b);
  const isWhole = share === 1 || varying === 0;
  const selected = new Set(isWhole ? order : order.slice(0, Math.max(1, Math.floor(share * varying))));
  const kept = vectors.map((v) => v.map((x, i) => (selected.has(i) ? x : 0)));
  const squares = kept.map((v) => sum(v.map((x) => x * x)));
  const total = sum(squares);
  const weights = squares.map((x) => (total === 0 ? 1 / count : x / total));
  return along(n, (i) => {
    const isPlus = sum(kept.map((v) => v[i]!)) >= 0;
    const agreeing = kept.flatMap((v, k) => ((isPlus ? v[i]! > 0 : v[i]! < 0) ? [k] : []));
    const mass = sum(agreeing.map((k) => weights[k]!));
    return mass === 0 ? 0 : sum(agreeing.map((k) => weights[k]! * kept[k]![i]!)) / mass;
  });
}

/** What is kept of a task vector, scaled to the sum of magnitudes of the whole. */
export function rescaled(kept: Vector, whole: Vector): Vector {
  const [before, after] = [whole, kept].map((v) => sum(v.map(Math.abs))) as [number, number];
  return after === 0 ? kept : kept.map((x) => (x * before) / after);
}

/** Indices of a tensor's rows: entries that differ in the last index only. */
export function rowsOf(shape: readonly number[]): number[][] {
  const n = shape.reduce((product, size) => product * size, 1);
  const length = shape.at(-1) ?? 1;
  return along(length === 0 ? 0 : n / length, (r) => along(length, (i) => r * length + i));
}

/** Indices of a tensor's columns: entries that differ in the first index only. */
export function columnsOf(shape: readonly number[]): number[][] {
  const n = shape.reduce((product, size) => product * size, 1);
  const across = shape.slice(1).reduce((product, size) => product * size, 1);
  return along(n === 0 ? 0 : across, (c) => along(n / across, (r) => r * across + c));
}

/** What `merge` makes of the parts of the inputs, put together again. */
export function byParts(parts: number[][], inputs: Vector[], merge: (own: Vector[]) => Vector): Vector {
  const result = inputs[0]!.map(() => 0);
  for (const part of parts) {
    const merged = merge(inputs.map((x) => part.map((i) => x[i]!)));
    part.forEach((i, at) => {
      result[i] = merged[at]!;
    });
  }
  return result;
}

export function arceeFusion(base: Vector, model: Vector, shape: readonly number[]): Vector {
  const softmax = (x: Vector) => {
    const most = Math.max(...x);
    const raised = x.map((value) => Math.exp(value - most));
    return raised.map((value) => value / sum(raised) + 1e-8);
  };
  const importance = byParts(rowsOf(shape), [base, model], ([from, to]) => {
    const [q, p] = [softmax(from!), softmax(to!)];
    const divergence = Math.max(0, sum(p.map((x, i) => x * Math.log(x / q[i]!))));
    return from!.map((x, i) => Math.fround(Math.abs(Math.fround(to![i]! - x)) * divergence));
  });
  const sorted = [...importance].sort((a, b) => a - b);
  const quantile = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]!;
  const bar = Math.fround(quantile(0.5) + 1.5 * (quantile(0.75) - quantile(0.25)));
  return base.map((x, i) => (importance[i]! >= bar ? model[i]! : x));
}
