import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { temporaryFolders } from '../../../test/support/folders.js';
import {
  type ByteSource,
  describeGraph,
  encodeModel,
  loadTensor,
  type ModelProto,
  rawTensor,
  readModel,
  readOutline,
  type TensorProto,
  writeModel,
} from '../src/index.js';
import { numbers, smallModel, ZOO_MODELS, zooPath } from './helpers.js';

const makeFolder = temporaryFolders();

/** A model in memory, and how many bytes of it were read. */
function counted(bytes: Uint8Array): { source: ByteSource; read: () => number } {
  let read = 0;
  const source: ByteSource = {
    name: 'm',
    size: async () => bytes.length,
    read: async (offset, length) => {
      if (offset < 0 || length < 0 || offset + length > bytes.length) throw new Error(`${length} bytes from ${offset}`);
      read += length;
      return new Uint8Array(bytes.slice(offset, offset + length));
    },
  };
  return { source, read: () => read };
}

const floats = (name: string, count: number): TensorProto =>
  rawTensor(name, 'F32', [count], new Uint8Array(numbers(count, count).buffer));
const withInitializers = (...tensors: TensorProto[]): ModelProto => {
  const model = smallModel();
  model.graph!.initializer.push(...tensors);
  return model;
};

/** A length-delimited field. */
const block = (id: number, ...parts: Uint8Array[]): Uint8Array => {
  const content = Buffer.concat(parts);
  const varint: number[] = [];
  for (let rest = content.length; ; rest >>>= 7) {
    varint.push(rest < 128 ? rest : (rest & 0x7f) | 0x80);
    if (rest < 128) break;
  }
  return Buffer.concat([Uint8Array.of(id * 8 + 2, ...varint), content]);
};

describe('a model without its weights', () => {
  it.each(ZOO_MODELS)('is the model but for where large weights are: %s', async (file) => {
    const [whole, outline] = [await readModel(zooPath(file)), await readOutline(zooPath(file))];
    expect(describeGraph(outline)).toEqual(describeGraph(whole));
    for (const [i, tensor] of whole.graph!.initializer.entries()) {
      const lazy = outline.graph!.initializer[i]!;
      expect(lazy.data !== undefined).toBe((tensor.rawData?.length ?? 0) > 4096);
      expect(Buffer.compare((await loadTensor(lazy)).bytes, (await loadTensor(tensor)).bytes)).toBe(0);
    }
    const initializer: TensorProto[] = [];
    expect({ ...outline, graph: { ...outline.graph!, initializer } }).toEqual({
      ...whole,
      graph: { ...whole.graph!, initializer },
    });
  });

  it('is read without them', async () => {
    const bytes = encodeModel(withInitializers(floats('large', 2 ** 20), floats('small', 1024), floats('next', 1025)));
    const { source, read } = counted(bytes);
    const model = await readOutline(source);
    expect(read()).toBeLessThan(2 ** 18);
    expect(model.graph!.initializer.map(({ data }) => data?.length)).toEqual([
      undefined,
      undefined,
      2 ** 22,
      undefined,
      4100,
    ]);
    const { bytes: loaded } = await loadTensor(model.graph!.initializer[2]!);
    expect(Buffer.compare(loaded, new Uint8Array(numbers(2 ** 20, 2 ** 20).buffer))).toBe(0);
  });

  it('is read in the same way from a file of nearly two gigabytes', async () => {
    // The middle of the file is a hole: it takes no space, and would take minutes to be looked at.
    const length = 2 ** 31 - 2 ** 20;
    const head = [8, 8, 66, 2, 16, 17];
    const fields = (size: number) => {
      const rest: number[] = [];
      for (let left = size; ; left = Math.floor(left / 128)) {
        rest.push(left < 128 ? left : (left % 128) | 0x80);
        if (left < 128) return rest;
      }
    };
    const tensor = Uint8Array.from([8, ...fields(length), 16, 2, 66, 1, 119, 74, ...fields(length)]);
    const initializer = Uint8Array.from([42, ...fields(tensor.length + length), ...tensor]);
    const begin = Uint8Array.from([...head, 58, ...fields(initializer.length + length), ...initializer]);
    const path = join(await makeFolder(), 'large.onnx');
    const file = await open(path, 'w');
    await file.write(begin);
    await file.truncate(begin.length + length);
    await file.close();
    const model = await readOutline(path);
    expect(model.graph!.initializer).toMatchObject([
      { name: 'w', dims: [length], data: { offset: begin.length, length } },
    ]);
  });

  it('has its external data where it was', async () => {
    const path = join(await makeFolder(), 'm.onnx');
    await writeModel(withInitializers(floats('large', 5000)), path, { externalData: { threshold: 1000 } });
    const outline = await readOutline(path);
    expect(outline.graph!.initializer[2]).toMatchObject({ dataLocation: 1, data: { length: 20_000 } });
    const bytes = encodeModel(await readModel(path));
    await expectError(
      () => readOutline(counted(bytes).source),
      'invalid_graph',
      'm: has weights in the file "m.onnx.data"',
    );
    const asked: string[] = [];
    const openExternal = async (location: string) => {
      asked.push(location);
      return counted(new Uint8Array(20_000)).source;
    };
    await readOutline(counted(bytes).source, { openExternal });
    expect(asked).toEqual(['m.onnx.data']);
  });

  it('takes the last of several raw data, and none of a tensor in another file', async () => {
    const raw = (...sizes: number[]) => {
      const header = Uint8Array.of(8, 0x88, 0x27, 16, 2, 66, 1, 119); // dims 5000, uint8, w
      const tensor = block(5, header, ...sizes.map((size, i) => block(9, new Uint8Array(size).fill(i + 1))));
      return Buffer.concat([Uint8Array.of(8, 8), block(8, Uint8Array.of(16, 17)), block(7, tensor)]);
    };
    const last = async (...sizes: number[]) => {
      const model = await readOutline(counted(raw(...sizes)).source);
      const tensor = model.graph!.initializer[0]!;
      return { lazy: tensor.data !== undefined, first: (await loadTensor(tensor)).bytes[0] };
    };
    expect(await last(5000)).toEqual({ lazy: true, first: 1 });
    expect(await last(10, 5000)).toEqual({ lazy: true, first: 2 });
    expect(await last(6000, 5000)).toEqual({ lazy: true, first: 2 });
    await expectError(() => last(5000, 10), 'invalid_graph', 'tensor "w": has 10 bytes; its shape and dtype take 5000');
    await expectError(() => last(5000, 6000), 'invalid_graph', 'tensor "w": has 6000 bytes; its shape');
  });

  it('finds initializers in every part of a graph that comes in parts', async () => {
    const first = encodeModel(withInitializers(floats('first', 3000)));
    // Protobuf adds up the occurrences of a message; dims 3000, float32, named second.
    const tensor = block(
      5,
      Uint8Array.of(8, 0xb8, 0x17, 16, 1, 66, 6, ...Buffer.from('second')),
      block(9, new Uint8Array(12_000)),
    );
    const both = await readOutline(counted(Buffer.concat([first, block(7, tensor)])).source);
    expect(both.graph!.initializer.map(({ name, data }) => [name, data?.length])).toEqual([
      ['w', undefined],
      ['b', undefined],
      ['first', 12_000],
      ['second', 12_000],
    ]);
  });
});

describe('an outline is refused', () => {
  const large = encodeModel(withInitializers(floats('large', 5000)));

  it('for large weights that are not what their shape says', async () => {
    const wrong = async (change: Partial<TensorProto>, part: string) => {
      const model = withInitializers({ ...floats('large', 5000), ...change });
      await expectError(
        () => readOutline(counted(encodeModel(model)).source),
        'invalid_graph',
        'm: initializers: ',
        part,
      );
    };
    await wrong({ dims: [4999] }, 'tensor "large": has 20000 bytes; its shape and dtype take 19996');
    await wrong({ dims: [2 ** 40, 2 ** 40] }, 'has more than 2^53 elements');
    await wrong({ dataType: 99 }, 'there is no dtype 99');
    await wrong({ dataType: 8 }, 'strings can only be in the list of strings');
    await wrong({ floatData: numbers(5000) }, 'has elements both in rawData and in floatData');
  });

  it('for what any model is refused for', async () => {
    const model = smallModel();
    model.graph!.node[0]!.input[0] = 'none';
    await expectError(() => readOutline(counted(encodeModel(model)).source), 'invalid_graph', 'm: node "MatMul-xw"');
    await expectError(() => readOutline(counted(new Uint8Array(0)).source), 'invalid_graph', 'the file is empty');
    await expectError(() => readOutline(join('none', 'm.onnx')), 'invalid_graph', 'm.onnx');
  });

  it('for lengths that lead out of the file or message', async () => {
    const bytes = async (...given: number[]) => readOutline(counted(Uint8Array.from(given)).source);
    await expectError(
      () => bytes(58, 5, 1),
      'invalid_graph',
      'm: not a valid ONNX file: byte 2: 5 bytes are announced',
    );
    await expectError(() => bytes(58, 2, 42, 7), 'invalid_graph', '7 bytes are announced and 0 are left');
    await expectError(() => bytes(58, 0xff), 'invalid_graph', 'byte 0: a number is cut off');
    await expectError(() => bytes(...Array(12).fill(0xff)), 'invalid_graph', 'a number has more than 64 bits');
    await expectError(() => bytes(58, ...Array(9).fill(0xff), 1), 'invalid_graph', 'bytes are announced');
    await expectError(() => bytes(3), 'invalid_graph', 'wire type 3, which ONNX does not use');
    await expectError(() => bytes(0, 0), 'invalid_graph', 'a field number is out of range');
  });

  it('for a file of tiny fields alone', async () => {
    const initializers = Buffer.alloc(2 * 200_000, Uint8Array.of(42, 0));
    await expectError(
      () => readOutline(counted(block(7, initializers)).source),
      'invalid_graph',
      'there are more than 100000 initializers',
    );
  });

  it('wherever the file ends, or as what is left of it', async () => {
    const path = join(await makeFolder(), 'm.onnx');
    let read = 0;
    for (let length = 0; length < large.length; length += length < 500 || length > large.length - 500 ? 1 : 997) {
      await writeFile(path, large.subarray(0, length));
      try {
        await readOutline(path);
        read++;
      } catch (error) {
        if (!(error instanceof AmalgamError)) throw error;
        expect(error.code).toBe('invalid_graph');
      }
    }
    expect(read).toBeLessThan(8);
  });

  it('in the same cases as the whole model, whatever bytes are changed', async () => {
    const random = numbers(20_000, 3);
    let next = 0;
    const pick = (limit: number) => Math.floor(((random[next++]! + 1) / 2) * limit) % limit;
    const outcome = async (work: () => Promise<ModelProto>) => {
      try {
        const model = await work();
        return model.graph!.initializer.map(({ name, dims, dataType }) => ({ name, dims, dataType }));
      } catch (error) {
        if (!(error instanceof AmalgamError)) throw error;
        return error.code;
      }
    };
    for (let i = 0; i < 2000; i++) {
      const damaged = Buffer.from(large);
      // Most bytes are weights, of which any will do.
      const at = i % 2 === 0 ? pick(300) : large.length - 1 - pick(300);
      damaged[at] = pick(256);
      const outline = await outcome(() => readOutline(counted(damaged).source));
      const whole = await outcome(() => readModel(damaged));
      expect([i, at, outline]).toEqual([i, at, whole]);
    }
  });
});
