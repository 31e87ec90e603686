import { Type } from '@amalgam/contracts';
import { addBlend } from './combine.js';
import { defineMethod } from './definition.js';
import { clamp, dotOf, type Gram, norms } from './gram.js';

/** sin of an angle beyond which two directions count as opposite: there is no shortest way from one to the other. */
const OPPOSITE = 1e-9;

export const karcher = defineMethod({
  name: 'karcher',
  summary: 'Mean direction on the sphere (Karcher mean) of the models, with their mean norm, tensor by tensor',
  formula:
    'uᵢ = θᵢ ÷ ‖θᵢ‖, each a whole tensor as one vector;  u starts as the mean of the uᵢ on the sphere, then max_iter times: ' +
    'v = mean of φᵢ ÷ sin φᵢ · (uᵢ − cos φᵢ u), φᵢ = angle of u and uᵢ;  u ← cos ‖v‖ u + sin ‖v‖ v ÷ ‖v‖;  until ‖v‖ < tol;  ' +
    'θ = (mean of ‖θᵢ‖) u',
  source: 'Karcher, Riemannian center of mass and mollifier smoothing, 1977; on weights as mergekit does',
  notes: [
    'All models count alike, as in mergekit. A base, where given, lends names, dtypes and side files only; in mergekit it is averaged too.',
    'The iteration runs in float64 on the inner products of the models; mergekit’s rounds every step to the dtype.',
    'A model whose tensor has a norm of at most tol gives no direction, but its norm counts in the mean, as in mergekit. A direction exactly opposite to u pulls nowhere.',
  ],
  base: 'optional',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      max_iter: Type.Integer({ default: 10, minimum: 1, maximum: 10_000, description: 'Most steps' }),
      tol: Type.Number({
        default: 1e-5,
        exclusiveMinimum: 0,
        maximum: 1,
        description: 'Smallest step, angle and norm that count',
      }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'weights',
  blend(gram, { global: { max_iter, tol } }) {
    const lengths = norms(gram);
    const valid = lengths.map((norm) => norm > tol);
    const count = valid.filter(Boolean).length;
    if (count === 0) return lengths.map(() => 0);
    const units: Gram = {
      size: gram.size,
      dot: (i, j) => (valid[i] && valid[j] ? gram.dot(i, j) / lengths[i]! / lengths[j]! : 0),
    };
    const share = 1 / count;
    const direction = iterate(units, valid, share, max_iter, tol);
    const norm = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    return direction.map((x, i) => (valid[i] ? (norm * x) / lengths[i]! : 0));
  },
  combine: addBlend,
});

/** Coefficients of the mean direction over the unit vectors whose inner products are given. */
function iterate(units: Gram, valid: boolean[], share: number, most: number, tol: number): number[] {
  const axis = (k: number) => valid.map((_, i) => (i === k ? 1 : 0));
  const mean = valid.map((isValid) => (isValid ? share : 0));
  const length = lengthOf(units, mean);
  let u = length < tol ? axis(valid.indexOf(true)) : scaled(mean, 1 / length);
  for (let step = 0; step < most; step++) {
    let along = 0;
    const pull = valid.map((isValid, i) => {
      if (!isValid) return 0;
      const cosine = clamp(dotOf(units, u, axis(i)), -1, 1);
      const theta = Math.acos(cosine);
      const sine = Math.sin(theta);
      if (theta < tol || sine < OPPOSITE) return 0;
      const factor = (share * theta) / sine;
      along += factor * cosine;
      return factor;
    });
    const tangent = pull.map((x, i) => x - along * u[i]!);
    const distance = lengthOf(units, tangent);
    if (distance < tol) break;
    const next = u.map((x, i) => Math.cos(distance) * x + (Math.sin(distance) / distance) * tangent[i]!);
    u = scaled(next, 1 / lengthOf(units, next));
  }
  return u;
}

function lengthOf(units: Gram, vector: number[]): number {
  return Math.sqrt(Math.max(0, dotOf(units, vector, vector)));
}

function scaled(vector: number[], factor: number): number[] {
  return vector.map((x) => x * factor);
}
