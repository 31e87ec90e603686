import { getFloat, getInt, hasAttribute, intAttribute } from '@amalgam/onnx';
import type { Builder } from '../builder.js';
import type { Lowerings, Site } from '../rule.js';
import { type Dim, isStatic, product, range } from '../types.js';

/** Attention of opset 23 as MatMul, Softmax, MatMul. */
export const ATTENTION: Lowerings = {
  Attention: (site) => {
    const { b, node, x, y, refuse } = site;
    const [, , , mask, pastKey, pastValue] = x;
    if (pastKey !== '' || pastValue !== '' || (x[6] ?? '') !== '') {
      throw refuse('past keys and values; export the model without a cache');
    }
    if ([y[1], y[2], y[3]].some((value) => value !== '' && b.graph.isUsed(value))) {
      throw refuse('its further outputs are used');
    }
    const three = b.rank(x[0]) === 3;
    const query = heads(site, x[0], 'q_num_heads');
    const shared = (value: string) => repeatHeads(b, heads(site, value, 'kv_num_heads'), b.dims(query)[1]!);
    const [key, value] = [shared(x[1]), shared(x[2])];
    const width = b.dims(query)[3];
    if (typeof width !== 'number') throw refuse('the width of its heads must be fixed');
    const scale = hasAttribute(node, 'scale') ? getFloat(node, 'scale') : 1 / Math.sqrt(width);

    let scores = b.matmul(b.mul(query, scale), b.swap(key));
    const cap = getFloat(node, 'softcap', 0);
    if (cap > 0) scores = b.mul(b.unary('Tanh', b.div(scores, cap)), cap);
    if (getInt(node, 'is_causal', 0) !== 0) scores = b.add(scores, causalMask(site, scores));
    if (mask !== '') scores = b.add(scores, additive(b, mask, scores));
    const weights = b.op('Softmax', [scores], b.type(scores), [intAttribute('axis', -1)]);
    const mixed = b.matmul(weights, value);
    if (!three) return [b.identity(mixed)];
    const [batch, count, length, size] = b.dims(mixed);
    return [b.identity(b.reshape(b.transpose(mixed, [0, 2, 1, 3]), [batch!, length!, product([count!, size!])]))];
  },
};

/** [batch, length, heads × width] as [batch, heads, length, width]. */
function heads({ b, node }: Site, value: string, attribute: string): string {
  const dims = b.dims(value);
  if (dims.length === 4) return value;
  const count = getInt(node, attribute);
  const apart = b.reshape(value, [dims[0]!, dims[1]!, count, (dims[2] as number) / count]);
  return b.transpose(apart, [0, 2, 1, 3]);
}

/** Each head of keys and values serves as many consecutive heads of queries. */
function repeatHeads(b: Builder, value: string, count: Dim): string {
  const [batch, own, length, width] = b.dims(value);
  if (own === count) return value;
  const apart = b.reshape(value, [batch!, own!, 1, length!, width!]);
  const repeated = b.expand(apart, [batch!, own!, (count as number) / (own as number), length!, width!]);
  return b.reshape(repeated, [batch!, count, length!, width!]);
}

/** A query sees the keys up to its own place, both counted from the front. */
function causalMask({ b, refuse }: Site, scores: string): string {
  const size: readonly Dim[] = b.dims(scores).slice(2);
  if (!isStatic(size)) throw refuse('with is_causal, the lengths of queries and keys must be fixed');
  const [queries, keys] = size;
  const hidden = range(0, queries!).flatMap((q) => range(0, keys!).map((k) => (k > q ? HIDDEN : 0)));
  return b.constant(b.dtype(scores), size, hidden, 'causal');
}

/** True means visible. */
function additive(b: Builder, mask: string, scores: string): string {
  if (b.dtype(mask) !== 'BOOL') return mask;
  return b.where(mask, b.scalar(0, scores), HIDDEN);
}

const HIDDEN = Number.NEGATIVE_INFINITY;
