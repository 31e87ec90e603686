import type { Vectors } from './brute-force.js';
import type { Shapes } from './brute-sparse.js';

/**
 * Methods of papers once more, from their formulas: whole models in memory and sorting. Float32 where the methods say so
 * (Math.fround after each operation), float64 for norms.
 */
const f = Math.fround;

const names = (vectors: Vectors) => [...vectors.keys()].sort((a, b) => (a < b ? -1 : 1));

export function taskVectors(base: Vectors, models: Vectors[]): Vectors[] {
  return models.map(
    (model) => new Map(names(base).map((name) => [name, base.get(name)!.map((b, i) => f(model.get(name)![i]! - b))])),
  );
}

/** θ₀ + λ · what `combine` makes of an entry's task vectors. */
function merge(
  base: Vectors,
  models: Vectors[],
  lambda: number,
  combine: (taus: number[], name: string, index: number) => number,
): Vectors {
  const vectors = taskVectors(base, models);
  return new Map(
    names(base).map((name) => [
      name,
      base.get(name)!.map((b, i) => {
        const taus = vectors.map((own) => own.get(name)![i]!);
        return f(b + f(f(lambda) * combine(taus, name, i)));
      }),
    ]),
  );
}

export function magmax(base: Vectors, models: Vectors[], lambda: number): Vectors {
  return merge(base, models, lambda, (taus) => {
    const largest = Math.max(...taus.map(Math.abs));
    return taus.findLast((tau) => Math.abs(tau) === largest)!;
  });
}

export function consensusTa(base: Vectors, models: Vectors[], lambda: number, k: number, bars: number[]): Vectors {
  return merge(base, models, lambda, (taus) => {
    const sum = taus.slice(1).reduce((all, tau) => f(all + tau), taus[0]!);
    const matters = taus.filter((tau, i) => Math.abs(tau) > f(f(bars[i]!) * Math.abs(f(sum - tau))));
    return matters.length >= k ? sum : 0;
  });
}

/** The factors, in float64. */
export function metagptFactors(base: Vectors, models: Vectors[]): number[] {
  const squares = taskVectors(base, models).map((own) =>
    [...own.values()].reduce((sum, list) => sum + list.reduce((all, x) => all + x * x, 0), 0),
  );
  const total = squares.reduce((sum, x) => sum + x, 0);
  return squares.map((x) => (total === 0 ? 0 : x / total));
}

export function modelBreadcrumbs(
  base: Vectors,
  models: Vectors[],
  settings: { lambda: number; weight: number[]; density: number; gamma: number },
  shapes: Shapes,
): Vectors {
  const kept = taskVectors(base, models).map((own) => {
    const masked: Vectors = new Map();
    for (const [name, values] of own) {
      const width = shapes[name]!.at(-1) ?? 1;
      const result = values.slice();
      for (let row = 0; values.length > 1 && row < values.length; row += width) {
        const order = Array.from({ length: width }, (_, i) => row + i).sort(
          (a, b) => Math.abs(values[b]!) - Math.abs(values[a]!) || a - b,
        );
        const outliers = Math.floor(width * settings.gamma);
        const stay = new Set(order.slice(outliers).slice(0, Math.floor(width * settings.density)));
        for (const i of order) if (!stay.has(i)) result[i] = 0;
      }
      masked.set(name, result);
    }
    return masked;
  });
  return new Map(
    names(base).map((name) => [
      name,
      base.get(name)!.map((b, i) => {
        const terms = kept.map((own, k) => f(f(settings.weight[k]!) * own.get(name)![i]!));
        return f(b + f(f(settings.lambda) * terms.slice(1).reduce((all, x) => f(all + x), terms[0]!)));
      }),
    ]),
  );
}

export interface PcbSettings {
  weight: number[];
  density: number;
  clip: number;
  scope: 'model' | 'tensor';
}

export function pcb(base: Vectors, models: Vectors[], settings: PcbSettings): Vectors {
  const groups = settings.scope === 'model' ? [names(base)] : names(base).map((name) => [name]);
  return new Map(
    groups.flatMap((group) => {
      const flat = taskVectors(base, models).map((own) => group.flatMap((name) => [...own.get(name)!]));
      const merged = pcbOfGroup(flat, settings);
      let at = 0;
      return group.map((name): [string, Float32Array] => [name, base.get(name)!.map((b) => f(b + merged[at++]!))]);
    }),
  );
}

function pcbOfGroup(taus: number[][], { weight, density, clip }: PcbSettings): number[] {
  const d = taus[0]!.length;
  if (d === 0) return [];
  const sorted = (list: number[]) => Float64Array.from(list).sort();
  const clipped = (list: number[], low: number, high: number) => list.map((x) => Math.min(Math.max(x, low), high));
  const toUnit = (list: number[]) => {
    const [low, high] = [Math.min(...list), Math.max(...list)];
    return list.map((x) => (high === low ? 0 : f(f(x - low) / f(high - low))));
  };
  const sizes = taus.map((own) => {
    const order = sorted(own.map(Math.abs));
    const low = Math.floor(d * clip);
    return clipped(own.map(Math.abs), order[low]!, order[Math.max(low, Math.trunc(d * (1 - clip) - 1))]!);
  });
  const units = sizes.map(toUnit);
  const shares = taus.map((own, t) => {
    const balance = own.map((x, i) => {
      const sum = taus.reduce((all, other, j) => f(all + Math.sign(other[i]!) * units[j]![i]!), 0);
      const within = f(Math.exp(f(taus.length * f(units[t]![i]! * units[t]![i]!))));
      return f(within * f(Math.tanh(f(x * sum))));
    });
    const low = Math.min(Math.floor(d * (1 - density)), d - 1);
    return toUnit(clipped(balance, sorted(balance)[low]!, Number.POSITIVE_INFINITY));
  });
  return taus[0]!.map((_, i) => {
    const sum = taus.reduce(
      (all, own, t) => f(all + f(f(f(weight[t]!) * f(Math.sign(own[i]!) * sizes[t]![i]!)) * shares[t]![i]!)),
      0,
    );
    const total = shares.reduce((all, share) => f(all + share[i]!), 0);
    return f(sum / Math.max(total, f(1e-12)));
  });
}
