// One measured run in a process of its own, so that its peak memory is its own: node tune-once.mjs '{"kind":"forward",…}'
// Prints a line of JSON per step, {"seconds", "loss"}, and a last one, {"setup", "rss"}, as tune_torch.py does.
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describeCheckpoint, describeDataset, fileSource, localFileFolder, readHeader } from '@amalgam/tensors';

const BATCH = 16;
const started = performance.now();
const { kind, ...job } = JSON.parse(process.argv[2]);
await { tune, forward }[kind](job);

/** A tuning as a merge runs it, without the merge at its end, in `work`. Memory is that of this process and the one it forks. */
async function tune({ dir, tasks, work, steps, threads }) {
  const { planMerge } = await import('@amalgam/engine');
  const { tuneMerge } = await import('@amalgam/tuning');
  const path = (name) => join(dir, name);
  const files = ['base', ...tasks].map((name) => path(`${name}.safetensors`));
  const [base, ...models] = await Promise.all(files.map(describe));
  const recipe = {
    method: 'adamerging',
    base: base.reference,
    models: models.map(({ reference }) => ({ model: reference })),
    parameters: { steps, batch_size: BATCH, sampling: 'sequential' },
    tasks: tasks.map((name, model) => ({
      name,
      model: models[model].reference,
      graph: path(`${name}.onnx`),
      data: path(`${name}.unlabeled.safetensors`),
    })),
  };
  const plan = planMerge(recipe, { base, models }, { threads });
  mkdirSync(work, { recursive: true });
  let firstEnded = 0;
  let seconds = [];
  const { report: made } = await tuneMerge(plan, {
    tasks: await Promise.all(recipe.tasks.map(toJob)),
    pathOf: (input) => plan.inputs[input].reference,
    workDir: work,
    provider: 'cpu',
    threads,
    onStep: (step) => {
      if (step === 1) firstEnded = performance.now();
    },
    onState: (state) => {
      seconds = state.seconds;
    },
  });
  for (const [step, loss] of made.loss.entries()) report({ seconds: seconds[step], loss });
  const { peak_rss_bytes: forked, task_vector_bytes: vectorBytes } = made.tuning;
  const setup = (firstEnded - started) / 1000 - seconds[0];
  report({ setup, rss: process.resourceUsage().maxRSS * 1024 + forked, vectorBytes });
}

async function toJob({ name, graph, data }, model) {
  const description = await describeDataset(localFileFolder(data));
  return { name, model, graph: { name, path: graph }, data: { name, path: data, description }, evaluation: null };
}

async function describe(file) {
  const checkpoint = await describeCheckpoint(localFileFolder(file));
  return { reference: file, identity: file, name: basename(file, '.safetensors'), checkpoint };
}

/** The forward pass of all tasks: forward.onnx in `graphs`, images in `dir`. */
async function forward({ dir, tasks, graphs, steps, threads, extra }) {
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const session = await InferenceSession.create(join(graphs, 'forward.onnx'), { intraOpNumThreads: threads, ...extra });
  const images = await Promise.all(tasks.map((task) => readImages(join(dir, `${task}.unlabeled.safetensors`))));
  const setup = (performance.now() - started) / 1000;
  for (let step = 0; step < steps; step++) {
    const begun = performance.now();
    const feeds = tasks.map((task, i) => [`${task}/pixel_values`, batch(Tensor, images[i], step)]);
    const results = await session.run(Object.fromEntries(feeds));
    const loss = tasks.reduce((sum, task) => sum + entropy(results[`${task}/logits`]), 0);
    report({ seconds: (performance.now() - begun) / 1000, loss });
  }
  report({ setup, rss: process.resourceUsage().maxRSS * 1024 });
}

function report(line) {
  console.log(JSON.stringify(line));
}

async function readImages(path) {
  const source = fileSource(path);
  const { begin, end, shape } = (await readHeader(source)).tensors.find(({ name }) => name === 'pixel_values');
  const values = new Float32Array((await source.read(begin, end - begin)).buffer);
  await source.close();
  return { values, shape };
}

function batch(Tensor, { values, shape: [rows, ...dims] }, step) {
  const size = BATCH * dims.reduce((product, dim) => product * dim, 1);
  const at = (step % Math.floor(rows / BATCH)) * size;
  return new Tensor('float32', values.subarray(at, at + size), [BATCH, ...dims]);
}

/** Mean over rows of the entropy of the softmax, in nats. */
function entropy({ data, dims: [rows, classes] }) {
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const logits = data.subarray(row * classes, (row + 1) * classes);
    const top = Math.max(...logits);
    const total = logits.reduce((acc, value) => acc + Math.exp(value - top), 0);
    const log = top + Math.log(total);
    for (const value of logits) sum -= Math.exp(value - log) * (value - log);
  }
  return sum / rows;
}
