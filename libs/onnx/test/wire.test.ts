import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { decode } from '../src/decode.js';
import { encode } from '../src/encode.js';
import { type AttributeProto, decodeModel, encodeModel, type TensorProto } from '../src/index.js';
import { ATTRIBUTE, DIMENSION, MODEL, NODE, TENSOR } from '../src/onnx-schema.js';
import { BackwardWriter } from '../src/wire-write.js';
import { smallModel } from './helpers.js';

/** Bytes of a varint, a tag, or a length-delimited field, by hand. */
const varint = (value: bigint): number[] =>
  value < 128n ? [Number(value)] : [Number(value & 0x7fn) | 0x80, ...varint(value >> 7n)];
const field = (id: number, wire: number, ...bytes: number[]) => [...varint(BigInt(id * 8 + wire)), ...bytes];
const block = (id: number, ...bytes: number[]) => field(id, 2, ...varint(BigInt(bytes.length)), ...bytes);
const bytesOf = (...parts: number[][]) => Uint8Array.from(parts.flat());
const written = (tensor: TensorProto) => Buffer.concat(encode(TENSOR, tensor).pieces);

describe('protobuf', () => {
  it('keeps unknown fields of every wire type, at every depth', () => {
    const unknown = bytesOf(
      field(200, 0, 1),
      field(201, 1, 1, 2, 3, 4, 5, 6, 7, 8),
      block(202, 9, 9),
      field(203, 5, 1, 2, 3, 4),
      field(204, 3, ...block(1, 7), ...field(2, 3), ...field(2, 4), ...field(204, 4)),
    );
    const node = bytesOf(block(4, ...Buffer.from('Add')), [...unknown]);
    const file = bytesOf(block(7, ...block(1, ...node), ...block(2, 65)), [...unknown]);
    const model = decodeModel(file);
    expect(Buffer.concat(model.graph!.node[0]!.unknown!)).toEqual(Buffer.from(unknown));
    expect(encodeModel(model)).toEqual(Buffer.from(file));
  });

  it('collects unknown fields that lie between known ones', () => {
    const file = bytesOf(field(200, 0, 1), block(2, 65), field(201, 0, 2), field(202, 0, 3));
    const model = decodeModel(file);
    expect(model).toMatchObject({ producerName: 'A' });
    expect(encodeModel(model)).toEqual(
      Buffer.from(bytesOf(block(2, 65), field(200, 0, 1), field(201, 0, 2), field(202, 0, 3))),
    );
  });

  it.each([0n, 1n, 127n, 128n, 300n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n - 1n, -1n, -(2n ** 63n)])(
    'reads and writes the integer %s',
    (value) => {
      const attribute: AttributeProto = { i: value, ints: [value, 5n, value] };
      const { pieces } = encode(ATTRIBUTE, attribute);
      expect(decode(ATTRIBUTE, Buffer.concat(pieces), 'm')).toEqual(attribute);
      expect([...Buffer.concat(pieces).subarray(1)].slice(0, varint(BigInt.asUintN(64, value)).length)).toEqual(
        varint(BigInt.asUintN(64, value)),
      );
    },
  );

  it('reads lists of numbers packed and one by one, in turns', () => {
    expect(decode(ATTRIBUTE, bytesOf(block(8, 1, 2), field(8, 0, 3), block(8)), 'm').ints).toEqual([1n, 2n, 3n]);
    const one = [0, 0, 128, 63];
    const tensor = decode(TENSOR, bytesOf(field(4, 5, ...one), block(4, ...one, ...one), field(4, 5, ...one)), 'm');
    expect(tensor.floatData).toEqual(Float32Array.of(1, 1, 1, 1));
    expect(decode(TENSOR, bytesOf(block(1, 3, 4), field(1, 0, 5)), 'm').dims).toEqual([3, 4, 5]);
  });

  it('writes numbers of tensors packed and others not, as ONNX declares them', () => {
    expect([...written({ dims: [2, 3], int32Data: Int32Array.of(1, -1) })]).toEqual([
      ...[8, 2, 8, 3],
      ...block(5, 1, ...varint(2n ** 64n - 1n)),
    ]);
    expect([...Buffer.concat(encode(ATTRIBUTE, { ints: [1n, 2n] }).pieces)]).toEqual([64, 1, 64, 2]);
  });

  it('keeps the payload of NaNs in tensors', () => {
    const bits = Uint8Array.of(1, 0, 0xa0, 0x7f);
    expect(written(decode(TENSOR, bytesOf(block(4, ...bits)), 'm'))).toEqual(Buffer.from(block(4, ...bits)));
  });

  it('keeps a byte order mark and other text', () => {
    for (const name of ['\ufeffa', 'ä 漢 😀', '', '__proto__']) {
      expect(
        decode(NODE, Buffer.concat(encode(NODE, { input: [name], output: [], attribute: [], name }).pieces), 'm'),
      ).toEqual({ input: [name], output: [], attribute: [], name });
    }
  });

  it('merges a message that comes twice, and takes the last of a choice', () => {
    const file = bytesOf(block(7, ...block(2, 65)), block(7, ...block(10, 66)));
    expect(decode(MODEL, file, 'm').graph).toMatchObject({ name: 'A', docString: 'B' });
    const twice = bytesOf(block(5, ...block(4, 0, 0, 128, 63)), block(5, ...block(4, 0, 0, 0, 64)));
    expect(decode(ATTRIBUTE, twice, 'm').t!.floatData).toEqual(Float32Array.of(1, 2));
    expect(decode(DIMENSION, bytesOf(field(1, 0, 5), block(2, 78)), 'm')).toEqual({ dimParam: 'N' });
  });

  it('refers to large fields instead of copying them, both ways', () => {
    const rawData = new Uint8Array(10_000).fill(3);
    const { pieces, length } = encode(TENSOR, { dims: [10_000], rawData, name: 'w' });
    expect(pieces).toContain(rawData);
    const file = Buffer.concat(pieces);
    expect(file.length).toBe(length);
    expect(decode(TENSOR, file, 'm').rawData!.buffer).toBe(file.buffer);
  });

  it('writes many fields around the ends of its blocks', () => {
    const tensors = Array.from(
      { length: 60 },
      (_, i): TensorProto => ({
        dims: [i],
        name: `t${i}`,
        rawData: new Uint8Array(i * 150).fill(i),
        docString: 'x'.repeat(i * 97),
      }),
    );
    const model = smallModel({ initializer: tensors });
    expect(decodeModel(encodeModel(model))).toEqual(model);
    const writer = new BackwardWriter();
    for (let i = 0; i < 200_000; i++) writer.varint(i % 300);
    expect(Buffer.concat(writer.finish()).length).toBe(writer.length);
  });
});

describe('protobuf that is wrong', () => {
  const cases: [string, Uint8Array, string][] = [
    ['a varint of eleven bytes', bytesOf([8, ...Array(10).fill(0xff), 1]), 'more than 64 bits'],
    ['a varint above 64 bits', bytesOf([8, ...Array(9).fill(0xff), 2]), 'more than 64 bits'],
    ['a varint without end', bytesOf([8, 0x80]), 'a number is cut off'],
    ['field number 0', bytesOf([0, 1]), 'a field number is out of range'],
    ['a field number above 2^29', bytesOf([...varint(2n ** 33n), 1]), 'a field number is out of range'],
    ['wire type 6', bytesOf(field(2, 6)), 'there is no wire type 6'],
    ['a length beyond the end', bytesOf(field(2, 2, 5, 65)), '5 bytes are announced and 1 are left'],
    ['a negative length', bytesOf(field(2, 2, ...varint(2n ** 64n - 1n))), 'bytes are announced'],
    ['a length beyond its message', bytesOf(block(7, 18, 3, 65), [65, 65]), '3 bytes are announced and 1 are left'],
    ['a wrong wire type', bytesOf(field(2, 0, 1)), 'ModelProto.producerName has wire type 0, not 2'],
    ['numbers of a wrong wire type', bytesOf(block(7, ...block(5, ...field(4, 0, 1)))), 'TensorProto.floatData'],
    ['text that is not UTF-8', bytesOf(block(2, 0xff)), 'ModelProto.producerName is not UTF-8'],
    ['a version beyond 2^53', bytesOf(field(1, 0, ...varint(2n ** 53n))), 'ModelProto.irVersion is beyond 2^53'],
    ['floats of half a number', bytesOf(block(7, ...block(5, ...block(4, 1, 2, 3)))), 'not a multiple of 4'],
    ['packed numbers cut off', bytesOf(block(7, ...block(5, ...block(5, 1, 0x80)))), 'a number is cut off'],
    ['the end of a group', bytesOf(field(200, 4)), 'a group ends that did not begin'],
    ['the end of another group', bytesOf(field(200, 3), field(201, 4)), 'a group ends that did not begin'],
    ['a group without end', bytesOf(field(200, 3)), 'a number is cut off'],
    ['groups of great depth', bytesOf(...Array(5000).fill(field(200, 3))), 'nested more than 100 deep'],
  ];
  it.each(cases)('is refused: %s', async (_, file, part) => {
    await expectError(() => decodeModel(file, 'm.onnx'), 'invalid_graph', 'm.onnx: not a valid ONNX file: byte ', part);
  });

  it('is refused: messages of great depth', async () => {
    // Node, attribute, graph, node, …
    let inner: Uint8Array = new Uint8Array(0);
    const wrap = (id: number, bytes: Uint8Array) =>
      Buffer.concat([bytesOf(field(id, 2, ...varint(BigInt(bytes.length)))), bytes]);
    for (let i = 0; i < 2000; i++) inner = wrap(1, wrap(5, wrap(6, inner)));
    await expectError(() => decodeModel(wrap(7, inner)), 'invalid_graph', 'nested more than 100 deep');
  });

  it('is refused: millions of empty messages', async () => {
    const nodes = Buffer.alloc(2 * 3_000_000, Uint8Array.of(10, 0));
    const file = Buffer.concat([bytesOf(field(7, 2, ...varint(BigInt(nodes.length)))), nodes]);
    const start = Date.now();
    await expectError(() => decodeModel(file), 'invalid_graph', 'would take more than');
    expect(Date.now() - start).toBeLessThan(20_000);
  });

  it('is refused: an empty file', async () => {
    await expectError(() => decodeModel(new Uint8Array(0), 'm'), 'invalid_graph', 'm: the file is empty');
  });
});
