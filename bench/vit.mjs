// Writes a model zoo in the size of CLIP's ViT-B/32: an encoder of 87.5 million parameters (hidden 768, MLP 3072, 12 blocks,
// 12 heads, patches of 32 in images of 224: 50 tokens), eight fine-tunes with heads of 10 to 397 classes, their graphs and
// unlabelled images; all float32 and random, the same every time. Files and names of tensors are as in examples/zoo.
import { closeSync, mkdirSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  floatAttribute,
  Graph,
  intAttribute,
  intsAttribute,
  modelOf,
  ONNX_DTYPES,
  rawTensor,
  tensorOf,
  writeModel,
} from '@amalgam/onnx';
import { encodeHeader } from '@amalgam/tensors';
import { deviates, PERIOD } from './deviates.mjs';

export const VIT_B32 = {
  image: 224,
  channels: 3,
  patch: 32,
  hidden: 768,
  mlp: 3072,
  blocks: 12,
  heads: 12,
  /** Of each task: as many as the eight data sets of the literature have. */
  classes: [397, 196, 45, 10, 10, 43, 10, 47],
  /** Unlabelled images of each task. */
  rows: 48,
};

/** The encoder's data in the orientation of the graphs, which all of them share. */
const SHARED = 'encoder.onnx.data';

const elements = (dims) => dims.reduce((n, size) => n * size, 1);
const tokensOf = ({ image, patch }) => (image / patch) ** 2 + 1;

/** Names, shapes and means of the encoder's tensors; a weight that a MatMul reads is `[out, in]` here, as in PyTorch. */
function encoderTensors(shape) {
  const { channels, patch, hidden, mlp, blocks } = shape;
  const norm = (name) => [
    { name: `${name}.weight`, shape: [hidden], mean: 1 },
    { name: `${name}.bias`, shape: [hidden] },
  ];
  const linear = (name, to, from) => [
    { name: `${name}.weight`, shape: [to, from], linear: true },
    { name: `${name}.bias`, shape: [to] },
  ];
  return [
    { name: 'encoder.cls_token', shape: [1, 1, hidden] },
    { name: 'encoder.pos_embed', shape: [1, tokensOf(shape), hidden] },
    { name: 'encoder.patch_embed.weight', shape: [hidden, channels, patch, patch] },
    { name: 'encoder.patch_embed.bias', shape: [hidden] },
    ...Array.from({ length: blocks }, (_, i) => `encoder.blocks.${i}`).flatMap((block) => [
      ...norm(`${block}.norm1`),
      ...['q', 'k', 'v', 'proj'].flatMap((name) => linear(`${block}.${name}`, hidden, hidden)),
      ...norm(`${block}.norm2`),
      ...linear(`${block}.fc1`, mlp, hidden),
      ...linear(`${block}.fc2`, hidden, mlp),
    ]),
    ...norm('encoder.norm'),
  ].map((tensor) => ({ dtype: 'F32', mean: 0, linear: false, ...tensor }));
}

/**
 * Makes the zoo below `dir`: base.safetensors, and task<k>.safetensors, task<k>.onnx and task<k>.unlabeled.safetensors
 * from k = 0. Checkpoints that are there are kept. About 3.7 GB for the default shape.
 */
export async function makeVit(dir, shape = VIT_B32) {
  mkdirSync(dir, { recursive: true });
  const tensors = encoderTensors(shape);
  const tasks = shape.classes.map((classes, k) => ({ name: `task${k}`, classes, head: headTensors(shape, classes) }));
  const base = deviates(1, 0.02);
  const fill = (t, offset, delta) => stretch(tensors[t], t, base, offset, delta);
  writeCheckpoint(join(dir, 'base.safetensors'), tensors, (t) => fill(t, 0, null));
  for (const [k, { name, head }] of tasks.entries()) {
    const delta = deviates(100 + k, 0.001);
    const headValues = (t) => stretch(head[t], t + 1000 * (k + 1), base, 0, null);
    writeCheckpoint(join(dir, `${name}.safetensors`), [...tensors, ...head], (t) =>
      t < tensors.length ? fill(t, k + 1, delta) : headValues(t - tensors.length),
    );
    const pixels = { name: 'pixel_values', dtype: 'F32', shape: [shape.rows, ...imageDims(shape)], mean: 0 };
    writeCheckpoint(join(dir, `${name}.unlabeled.safetensors`), [pixels], () =>
      stretch(pixels, 17 * k, deviates(200 + k, 1), 0, null),
    );
  }
  const places = writeShared(join(dir, SHARED), tensors, (t) => fill(t, 0, null));
  for (const [k, { name, classes, head }] of tasks.entries()) {
    const weights = head.map((tensor, t) => stretch(tensor, t + 1000 * (k + 1), base, 0, null));
    await writeModel(modelOf(vitGraph(shape, classes, places, weights)), join(dir, `${name}.onnx`));
  }
  return { dir, tasks: tasks.map(({ name }) => name), heads: shape.heads };
}

const imageDims = ({ channels, image }) => [channels, image, image];

const headTensors = ({ hidden }, classes) =>
  [
    { name: 'head.weight', shape: [classes, hidden] },
    { name: 'head.bias', shape: [classes] },
  ].map((tensor) => ({ dtype: 'F32', mean: 0, ...tensor }));

/** Tensor `t`'s values: every tensor starts elsewhere in the run, and the task vector elsewhere again. */
function stretch({ shape, mean }, t, run, offset, delta) {
  const values = new Float32Array(elements(shape));
  const at = (t * 7919) % PERIOD;
  for (let i = 0; i < values.length; i++) {
    const value = mean + run[(at + i) & (PERIOD - 1)];
    values[i] = delta === null ? value : value + delta[(3 * at + 5 * i + offset) & (PERIOD - 1)];
  }
  return values;
}

const bytesOf = (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Writes one tensor after the other; `values(t)` makes one at a time. */
function writeCheckpoint(path, tensors, values) {
  const { header, begins, fileBytes } = encodeHeader(
    tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
    { format: 'pt' },
  );
  if (statSync(path, { throwIfNoEntry: false })?.size === fileBytes) return;
  const fd = openSync(path, 'w');
  writeSync(fd, header);
  for (const t of tensors.keys()) writeFully(fd, bytesOf(values(t)), begins[t]);
  closeSync(fd);
}

function writeFully(fd, bytes, position) {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
}

/** The shared data file: weights of linear layers transposed, as exporters fold them. Returns where each is. */
function writeShared(path, tensors, values) {
  writeFileSync(path, '');
  const fd = openSync(path, 'r+');
  const places = new Map();
  let end = 0;
  for (const [t, { name, shape, linear }] of tensors.entries()) {
    const bytes = bytesOf(linear ? transposed(values(t), shape) : values(t));
    writeFully(fd, bytes, end);
    places.set(name, { dims: linear ? [shape[1], shape[0]] : shape, offset: end, length: bytes.length });
    end += Math.ceil(bytes.length / 4096) * 4096;
  }
  closeSync(fd);
  return places;
}

export function transposed(values, [rows, columns]) {
  const result = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) result[c * rows + r] = values[r * columns + c];
  return result;
}

/** The forward graph with the base's weights, in the operators that PyTorch's exporters write at opset 17. */
function vitGraph(shape, classes, places, [headWeight, headBias]) {
  const { hidden, blocks, heads, patch } = shape;
  const tokens = tokensOf(shape);
  const graph = new Graph('vit', { model: { irVersion: 8, opsetImport: [] }, graph: { name: 'main_graph' } });
  graph.setOpset('', 17);
  const pixels = graph.addInput(typed('pixel_values', [null, ...imageDims(shape)]));
  const weight = (name, as = name) => graph.setInitializer(external(as, places.get(name)));
  const ints = (...values) => graph.constant(tensorOf('shape', 'I64', [values.length], values));
  const scalar = (value) => graph.constant(tensorOf('scalar', 'F32', [], [value]));

  let folded = 0;
  const linear = (x, name) => {
    const product = graph.op('MatMul', [x, weight(`${name}.weight`, `onnx::MatMul_${folded++}`)]);
    return graph.op('Add', [product, weight(`${name}.bias`)]);
  };
  const norm = (x, name) =>
    graph.op(
      'LayerNormalization',
      [x, weight(`${name}.weight`), weight(`${name}.bias`)],
      [intAttribute('axis', -1), floatAttribute('epsilon', 1e-5)],
    );
  const transpose = (x, perm) => graph.op('Transpose', [x], [intsAttribute('perm', perm)]);
  const split = (x, perm) => transpose(graph.op('Reshape', [x, ints(-1, tokens, heads, hidden / heads)]), perm);
  const attention = (x, name) => {
    const [q, k, v] = ['q', 'k', 'v'].map((part) => linear(x, `${name}.${part}`));
    const products = graph.op('MatMul', [split(q, [0, 2, 1, 3]), split(k, [0, 2, 3, 1])]);
    const scaled = graph.op('Mul', [products, scalar((hidden / heads) ** -0.5)]);
    const weights = graph.op('Softmax', [scaled], [intAttribute('axis', -1)]);
    const joined = transpose(graph.op('MatMul', [weights, split(v, [0, 2, 1, 3])]), [0, 2, 1, 3]);
    return linear(graph.op('Reshape', [joined, ints(-1, tokens, hidden)]), `${name}.proj`);
  };
  const gelu = (x) => {
    const erf = graph.op('Erf', [graph.op('Div', [x, scalar(Math.SQRT2)])]);
    return graph.op('Mul', [graph.op('Mul', [x, graph.op('Add', [erf, scalar(1)])]), scalar(0.5)]);
  };

  const patches = graph.op(
    'Conv',
    [pixels, weight('encoder.patch_embed.weight'), weight('encoder.patch_embed.bias')],
    [intsAttribute('kernel_shape', [patch, patch]), intsAttribute('strides', [patch, patch])],
  );
  const sequence = transpose(graph.op('Reshape', [patches, ints(-1, hidden, tokens - 1)]), [0, 2, 1]);
  const batch = graph.op('Shape', [pixels], [intAttribute('start', 0), intAttribute('end', 1)]);
  const tokenShape = graph.op('Concat', [batch, ints(1), ints(1)], [intAttribute('axis', 0)]);
  const token = graph.op('Expand', [weight('encoder.cls_token'), tokenShape]);
  const all = graph.op('Concat', [token, sequence], [intAttribute('axis', 1)]);
  let x = graph.op('Add', [all, weight('encoder.pos_embed')]);
  for (let i = 0; i < blocks; i++) {
    const name = `encoder.blocks.${i}`;
    x = graph.op('Add', [x, attention(norm(x, `${name}.norm1`), name)]);
    const wide = gelu(linear(norm(x, `${name}.norm2`), `${name}.fc1`));
    x = graph.op('Add', [x, linear(wide, `${name}.fc2`)]);
  }
  const first = graph.constant(tensorOf('index', 'I64', [], [0]));
  const features = graph.op('Gather', [norm(x, 'encoder.norm'), first], [intAttribute('axis', 1)]);
  const head = [
    rawTensor('head.weight', 'F32', [classes, hidden], bytesOf(headWeight)),
    rawTensor('head.bias', 'F32', [classes], bytesOf(headBias)),
  ].map((tensor) => graph.setInitializer(tensor));
  graph.addNode({
    opType: 'Gemm',
    inputs: [features, ...head],
    outputs: ['logits'],
    attributes: [intAttribute('transB', 1)],
  });
  graph.addOutput(typed('logits', [null, classes]));
  return graph;
}

/** A float32 tensor's type; null is the batch. */
function typed(name, dims) {
  const dim = dims.map((size) => (size === null ? { dimParam: 'batch' } : { dimValue: size }));
  return { name, type: { tensorType: { elemType: ONNX_DTYPES.F32.code, shape: { dim } } } };
}

function external(name, { dims, offset, length }) {
  const externalData = Object.entries({ location: SHARED, offset, length }).map(([key, value]) => ({
    key,
    value: String(value),
  }));
  return { name, dims, dataType: ONNX_DTYPES.F32.code, dataLocation: 1, externalData };
}
