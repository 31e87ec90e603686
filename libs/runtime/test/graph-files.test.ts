import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeOfDtype, encodeModel, type ModelProto, readModel, tensorOf } from '@amalgam/onnx';
import { FileStore, type FolderView, storeFolder } from '@amalgam/storage';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { describeGraphFiles } from '../src/graph-files.js';

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/digits.onnx', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'amalgam-graphs-'));
const store = new FileStore({ root: dir, baseUrl: 'http://x', secret: 'x' });
afterAll(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

let model: ModelProto;
let prefix: string;
let made = 0;
beforeEach(async () => {
  model = await readModel(ZOO);
  prefix = `graphs/${made++}`;
});

const put = (path: string, bytes: Uint8Array) => store.put(`${prefix}/${path}`, bytes);
const folder = (): FolderView => storeFolder(store, prefix, 'here');
const look = (view = folder()) => describeGraphFiles(async () => view);

/** The model with one more initializer, of four float32 in another file. */
function withExternal(location: string, length: number): ModelProto {
  const tensor = {
    name: 'extra',
    dims: [4],
    dataType: codeOfDtype('F32'),
    dataLocation: 1,
    externalData: [
      { key: 'location', value: location },
      { key: 'length', value: String(length) },
    ],
  };
  const graph = model.graph!;
  return { ...model, graph: { ...graph, initializer: [...graph.initializer, tensor] } };
}

describe('a graph that is registered', () => {
  it('is read without its weights, piece by piece when it is large', async () => {
    const weights = Array.from({ length: 3 << 20 }, (_, i) => i);
    const initializer = [...model.graph!.initializer, tensorOf('large', 'F32', [weights.length], weights)];
    await put('model.onnx', encodeModel({ ...model, graph: { ...model.graph!, initializer } }));
    const view = folder();
    let read = 0;
    const counting: FolderView = {
      ...view,
      label: view.label,
      list: () => view.list(),
      source: (path) => {
        const source = view.source(path);
        return {
          name: source.name,
          size: () => source.size(),
          read: (offset, length) => {
            read += length;
            return source.read(offset, length);
          },
        };
      },
    };
    const { description, own } = await look(counting);
    expect(own).toEqual(['model.onnx']);
    expect(description).toMatchObject({ file: 'model.onnx', opset: 20, inputs: [{ name: 'pixel_values' }] });
    expect(description.parameters).toBeGreaterThan(weights.length);
    expect(read).toBeLessThan(3 << 20);
  });

  it('may name files below its folder, with and without a dot', async () => {
    await put('model.onnx', encodeModel(withExternal('./data/extra.bin', 16)));
    await put('data/extra.bin', new Uint8Array(16));
    expect((await look()).own).toEqual(['model.onnx', 'data/extra.bin']);
  });

  it.each([
    ['a file that is not there', 'extra.bin', 16, /"extra\.bin", which is not there/],
    ['a file outside', '../extra.bin', 16, /leads out/],
    ['an absolute path', '/etc/passwd', 16, /is absolute/],
    ['a name with a line break', 'a\nb', 16, /"a\\nb", which is not there/],
    ['another length than the shape takes', 'extra.bin', 12, /has 12 bytes .* take 16/],
  ])('is refused with %s', async (_, location, length, detail) => {
    await put('model.onnx', encodeModel(withExternal(location, length)));
    await expect(look()).rejects.toMatchObject({ code: 'invalid_graph', message: expect.stringMatching(detail) });
  });

  it('tells what the store says', async () => {
    const bytes = encodeModel(model);
    await put('model.onnx', bytes);
    const view = folder();
    await view.list();
    await put('model.onnx', bytes.slice(1));
    await expect(look(view)).rejects.toMatchObject({ code: 'checkpoint_changed' });
  });

  it('does not keep others waiting for ever when it is broken', async () => {
    const good = encodeModel(model);
    await put('model.onnx', new Uint8Array(9 << 20).fill(0x0a));
    const bad = look();
    prefix = `graphs/${made++}`;
    await put('model.onnx', good);
    const [first, second] = await Promise.allSettled([bad, look()]);
    expect(first).toMatchObject({ status: 'rejected', reason: { code: 'invalid_graph' } });
    expect(second.status).toBe('fulfilled');
  });
});
