// The graphs of a zoo's tasks as one, with merged weights in the place of the base's: what the forward pass of a step costs
// when nothing is learned.
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { graphOf, mergeGraphs, modelOf, readModel, writeModel } from '@amalgam/onnx';
import { fileSource, readHeader } from '@amalgam/tensors';
import { transposed } from './vit.mjs';

const DATA = 'forward.onnx.data';

/** Writes forward.onnx into `out`: inputs `<task>/pixel_values`, outputs `<task>/logits`. Every coefficient is 0.3. */
export async function writeForward({ dir, tasks }, out) {
  const merged = await mergedCheckpoint(dir, tasks, 0.3);
  const data = dataFile(join(out, DATA));
  const parts = [];
  for (const task of tasks) {
    const graph = graphOf(await readModel(join(dir, `${task}.onnx`)), task);
    for (const [initializer, bound] of boundTo(graph, merged.shapes)) {
      const place = await data.place(bound, () => merged.values(bound));
      const { rawData, data: _, ...tensor } = graph.initializers.get(initializer);
      graph.setInitializer({ ...tensor, dataLocation: 1, externalData: entries({ location: DATA, ...place }) });
    }
    const path = join(out, `${task}.onnx`);
    await writeModel(modelOf(graph), path);
    parts.push({ graph: graphOf(await readModel(path), task), prefix: `${task}/` });
  }
  await merged.close();
  data.close();
  const { graph } = await mergeGraphs(parts, 'forward');
  await writeModel(modelOf(graph), join(out, 'forward.onnx'));
}

/**
 * Which initializer is which tensor of the checkpoint: by name, and for the folded weight of a MatMul by the bias that is
 * added after it, as this architecture has one everywhere.
 */
function boundTo(graph, shapes) {
  const bound = new Map();
  for (const name of graph.initializers.keys()) if (shapes.has(name)) bound.set(name, { name, transpose: false });
  for (const node of graph.nodes()) {
    const weight = node.input[1];
    if (node.opType !== 'MatMul' || !graph.initializers.has(weight) || bound.has(weight)) continue;
    const bias = graph.consumers(node.output[0])[0].input.find((name) => name.endsWith('.bias'));
    bound.set(weight, { name: bias.replace(/bias$/, 'weight'), transpose: true });
  }
  if (bound.size !== shapes.size) throw new Error(`${bound.size} of ${shapes.size} tensors were found in the graph`);
  return bound;
}

/** Base + coefficient · sum of task vectors, a tensor at a time. */
async function mergedCheckpoint(dir, tasks, coefficient) {
  const sources = ['base', ...tasks].map((name) => fileSource(join(dir, `${name}.safetensors`)));
  const headers = await Promise.all(sources.map(readHeader));
  const tables = headers.map(({ tensors }) => new Map(tensors.map((tensor) => [tensor.name, tensor])));
  const read = async (i, name) => {
    const { begin, end } = tables[i].get(name);
    return new Float32Array((await sources[i].read(begin, end - begin)).buffer);
  };
  return {
    shapes: new Map([...tables[0]].map(([name, { shape }]) => [name, shape])),
    async values({ name, transpose }) {
      const base = await read(0, name);
      const values = base.slice();
      for (let i = 1; i < sources.length; i++) {
        const tuned = await read(i, name);
        for (let j = 0; j < values.length; j++) values[j] += coefficient * (tuned[j] - base[j]);
      }
      return transpose ? transposed(values, tables[0].get(name).shape) : values;
    },
    close: () => Promise.all(sources.map((source) => source.close())),
  };
}

/** A file of tensors, each there once, that graphs share. */
function dataFile(path) {
  const fd = openSync(path, 'w');
  const places = new Map();
  let end = 0;
  return {
    async place({ name }, values) {
      const known = places.get(name);
      if (known !== undefined) return known;
      const bytes = new Uint8Array((await values()).buffer);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, end + at);
      const place = { offset: end, length: bytes.length };
      places.set(name, place);
      end += Math.ceil(bytes.length / 4096) * 4096;
      return place;
    },
    close: () => closeSync(fd),
  };
}

const entries = (external) => Object.entries(external).map(([key, value]) => ({ key, value: String(value) }));
