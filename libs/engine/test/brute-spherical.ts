/**
 * The methods on norms and angles once more, in float64 on whole tensors, step by step as their formulas say: no inner products
 * ahead of time, no coefficients.
 */
type Vector = number[];

const add = (a: Vector, b: Vector) => a.map((x, i) => x + b[i]!);
const sub = (a: Vector, b: Vector) => a.map((x, i) => x - b[i]!);
const times = (a: Vector, factor: number) => a.map((x) => x * factor);
const dot = (a: Vector, b: Vector) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const norm = (a: Vector) => Math.sqrt(dot(a, a));
const total = (list: Vector[]) => list.reduce(add);
const bounded = (cosine: number) => Math.min(1, Math.max(-1, cosine));

export function slerp([v0, v1]: Vector[], t: number): Vector {
  const unit = (v: Vector) => (norm(v) > 1e-8 ? times(v, 1 / norm(v)) : v);
  const cosine = dot(unit(v0!), unit(v1!));
  if (Math.abs(cosine) > 0.9995) return add(times(v0!, 1 - t), times(v1!, t));
  const theta = Math.acos(cosine);
  const part = (share: number) => Math.sin(share * theta) / Math.sin(theta);
  return add(times(v0!, part(1 - t)), times(v1!, part(t)));
}

export function nuslerp([x0, x1]: Vector[], [w0, w1]: number[]): Vector {
  const t = Math.abs(w0! + w1!) < 1e-6 ? 0.5 : w1! / (w0! + w1!);
  const unit = (x: Vector) => times(x, 1 / Math.max(norm(x), 1e-7));
  const theta = Math.acos(bounded(dot(unit(x0!), unit(x1!))));
  const sine = Math.sin(theta);
  if (Math.abs(sine) < 1e-6) return add(times(x0!, 1 - t), times(x1!, t));
  return add(times(x0!, Math.sin((1 - t) * theta) / sine), times(x1!, Math.sin(t * theta) / sine));
}

/** With the tangent step of mergekit's algorithm, which adds nothing but rounding. */
export function multislerp(x: Vector[], weight: number[], normalize: boolean, eps: number): Vector {
  if (x.length === 1) return x[0]!;
  const sum = normalize ? weight.reduce((a, b) => a + b, 0) : 1;
  const w = weight.map((share) => share / sum);
  const units = x.map((v) => times(v, 1 / (norm(v) + eps)));
  const mean = total(units.map((u, i) => times(u, w[i]!)));
  if (norm(mean) < eps) return total(x.map((v, i) => times(v, w[i]!)));
  const m = times(mean, 1 / norm(mean));
  const tangents = units.map((u) => sub(u, times(m, dot(u, m))));
  const step = total(tangents.map((tangent, i) => times(tangent, w[i]!)));
  const angle = norm(step) + eps;
  const turned = add(times(m, Math.cos(angle)), times(step, Math.sin(angle) / angle));
  return times(
    turned,
    x.reduce((all, v, i) => all + w[i]! * norm(v), 0),
  );
}

export function karcher(x: Vector[], steps: number, tol: number): Vector {
  const lengths = x.map(norm);
  const units = x.filter((_, i) => lengths[i]! > tol).map((v) => times(v, 1 / norm(v)));
  if (units.length === 0) return x[0]!.map(() => 0);
  const mean = times(total(units), 1 / units.length);
  let u = norm(mean) < tol ? units[0]! : times(mean, 1 / norm(mean));
  for (let step = 0; step < steps; step++) {
    const pulls = units.flatMap((unit) => {
      const cosine = bounded(dot(u, unit));
      const theta = Math.acos(cosine);
      if (theta < tol || Math.PI - theta < 1e-9) return [];
      return [times(sub(unit, times(u, cosine)), theta / Math.sin(theta) / units.length)];
    });
    if (pulls.length === 0) break;
    const pull = total(pulls);
    const distance = norm(pull);
    if (distance < tol) break;
    u = add(times(u, Math.cos(distance)), times(pull, Math.sin(distance) / distance));
    u = times(u, 1 / norm(u));
  }
  return times(u, lengths.reduce((sum, length) => sum + length, 0) / x.length);
}

/** Over models, not task vectors: t · mean + (1 − t) · base. */
export function modelStock(base: Vector, models: Vector[]): Vector {
  const offsets = models.map((model) => sub(model, base));
  const n = models.length;
  const cosines = offsets.flatMap((a, i) =>
    offsets.slice(i + 1).map((b) => (norm(a) === 0 || norm(b) === 0 ? 0 : bounded(dot(a, b) / norm(a) / norm(b)))),
  );
  const cosine = Math.max(0, cosines.reduce((sum, c) => sum + c, 0) / cosines.length);
  const t = (n * cosine) / (1 + (n - 1) * cosine);
  return add(times(total(models), t / n), times(base, 1 - t));
}

export function nearswap(base: Vector, model: Vector, t: number): Vector {
  return base.map((b, i) => {
    const share = Math.min(1, Math.max(0, t / Math.max(Math.abs(b - model[i]!), 1e-6)));
    return share * model[i]! + (1 - share) * b;
  });
}
