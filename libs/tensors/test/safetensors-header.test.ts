import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { type ByteSource, bytesSource, readHeader } from '../src/index.js';
import { rawFile } from './helpers.js';

const read = (bytes: Uint8Array) => readHeader(bytesSource('m.safetensors', bytes));
const entry = (dtype: string, shape: unknown, begin: number, end: number) =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });
const refused = (header: string | Uint8Array, dataBytes: number, ...parts: (string | RegExp)[]) =>
  expectError(() => read(rawFile(header, dataBytes)), 'invalid_checkpoint', 'm.safetensors: ', ...parts);

describe('valid headers', () => {
  it('gives tensors in offset order with absolute offsets', async () => {
    const json = `{"b":${entry('F32', [2, 3], 4, 28)},"__metadata__":{"format":"pt"},"a":${entry('F16', [2], 0, 4)}}   `;
    const header = await read(rawFile(json, 28));
    const at = 8 + json.length;
    expect(header).toEqual({
      headerBytes: at,
      fileBytes: at + 28,
      metadata: { format: 'pt' },
      tensors: [
        { name: 'a', dtype: 'F16', shape: [2], begin: at, end: at + 4, elements: 2 },
        { name: 'b', dtype: 'F32', shape: [2, 3], begin: at + 4, end: at + 28, elements: 6 },
      ],
    });
  });

  it('accepts no tensors, scalars, empty tensors and shared offsets', async () => {
    expect((await read(rawFile('{}'))).tensors).toEqual([]);
    const json = `{"z":${entry('F32', [], 0, 4)},"e2":${entry('F32', [3, 0], 4, 4)},"e1":${entry('I64', [0], 4, 4)},"e0":${entry('U8', [0], 0, 0)},"t":${entry('BOOL', [1], 4, 5)}}`;
    const { tensors } = await read(rawFile(json, 5));
    expect(tensors.map((t) => [t.name, t.elements])).toEqual([
      ['e0', 0],
      ['z', 1],
      ['e1', 0],
      ['e2', 0],
      ['t', 1],
    ]);
  });

  it('accepts any names: numbers, constructor, unicode, the empty one, white space around values', async () => {
    const names = ['0', 'constructor', 'größe.😀', '', '__proto__x', 'a"b\\c\n'];
    const json = `{ ${names.map((n, i) => `${JSON.stringify(n)} :\t${entry('U8', [1], i, i + 1)}`).join(' ,\n')} }\n`;
    expect((await read(rawFile(json, names.length))).tensors.map((t) => t.name)).toEqual(names);
  });

  it('keeps __proto__ as a metadata key without touching a prototype', async () => {
    const { metadata } = await read(rawFile('{"__metadata__":{"__proto__":"x"}}'));
    expect(Object.keys(metadata)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(metadata)).toBeNull();
  });

  it('is not fooled by a header whose length looks like pickle (640 = 0x80 0x02)', async () => {
    const json = `{"a":${entry('U8', [1], 0, 1)}}`.padEnd(640);
    const file = rawFile(json, 1);
    expect([...file.subarray(0, 2)]).toEqual([0x80, 0x02]);
    expect((await read(file)).tensors).toHaveLength(1);
    for (const cut of [8, 9, 100]) {
      await expectError(() => read(file.subarray(0, cut)), 'invalid_checkpoint', 'truncated');
    }
  });

  it('reads only the length and the header', async () => {
    const file = rawFile(`{"a":${entry('U8', [1000], 0, 1000)}}`, 1000);
    const reads: [number, number][] = [];
    const inner = bytesSource('m', file);
    const source: ByteSource = {
      ...inner,
      read: (offset, length) => {
        reads.push([offset, offset + length]);
        return inner.read(offset, length);
      },
    };
    const { headerBytes } = await readHeader(source);
    expect(reads).toHaveLength(2);
    expect(Math.max(...reads.map(([, end]) => end))).toBe(headerBytes);
  });

  it('parses 20 MB with 100 000 tensors in well under two seconds', async () => {
    const pad = 'x'.repeat(115);
    const members = Array.from(
      { length: 100_000 },
      (_, i) => `"model.layers.${i}.${pad}":${entry('BF16', [1, 1, 1, 4], i * 8, i * 8 + 8)}`,
    );
    const file = rawFile(`{${members.join(',')}}`, 800_000);
    expect(file.length).toBeGreaterThan(19_000_000);
    // Processor time, so that a busy machine does not fail the test.
    const began = process.cpuUsage();
    const { tensors } = await read(file);
    expect(process.cpuUsage(began).user / 1000).toBeLessThan(2000);
    expect(tensors.length).toBe(100_000);
  });
});

describe('the beginning of the file', () => {
  it('refuses fewer than 8 bytes', async () => {
    await expectError(() => read(new Uint8Array(0)), 'invalid_checkpoint', 'has 0 bytes', 'at least 8');
    await expectError(() => read(new Uint8Array(7)), 'invalid_checkpoint', 'has 7 bytes');
  });

  it.each([
    [100_000_001n, '100000001'],
    [2n ** 53n + 1n, '9007199254740993'],
    [2n ** 64n - 1n, '18446744073709551615'],
  ])('refuses a header length of %s', async (length, shown) => {
    const file = Buffer.from(rawFile('{}'));
    file.writeBigUInt64LE(length);
    await expectError(() => read(file), 'invalid_checkpoint', shown, '100000000');
  });

  it('refuses a header that reaches beyond the file', async () => {
    const file = Buffer.from(rawFile('{}'));
    file.writeBigUInt64LE(3n);
    await expectError(() => read(file), 'invalid_checkpoint', '3 bytes', 'only 2 follow');
  });

  it('refuses an empty header', () => refused('', 4, 'header is empty'));
  it('refuses a header that does not begin with {', () => refused(' {}', 0, '0x20', 'begin with {'));
  it('refuses a byte order mark', () => refused('\ufeff{}', 0, '0xef'));
  it('refuses what is not UTF-8', () => refused(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 0, 'UTF-8'));
});

describe('JSON', () => {
  const cases: [string, string, ...(string | RegExp)[]][] = [
    ['an unclosed object', '{', 'byte 1', 'found the end'],
    ['text after the object', '{}x', 'byte 2', 'nothing more'],
    ['a NUL after the object', '{}\0', 'byte 2'],
    ['a trailing comma', '{"__metadata__":{"a":"b",}}', 'byte 25', 'a string'],
    ['a missing colon', '{"a"{}}', 'expected :'],
    ['an unclosed string', '{"a', 'string without end'],
    ['a control character in a string', '{"a\nb":1}', 'byte 3', 'control character'],
    ['an unknown escape', '{"a\\x":1}', 'escape'],
    ['half a surrogate pair', '{"\\ud800":1}', 'surrogate'],
    ['single quotes', "{'a':1}", 'a string'],
    ['a number with a leading zero', `{"a":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}`, 'a number', '01'],
    ['a metadata value with text glued to it', '{"__metadata__":{"a":"b"x}}', 'expected , or }'],
  ];
  it.each(cases)('refuses %s', async (_what, json, ...parts) => {
    await refused(json, 0, 'not valid JSON', ...parts);
  });

  it('refuses a tensor twice', () =>
    refused(`{"a":${entry('U8', [1], 0, 1)},"a":${entry('U8', [1], 1, 2)}}`, 2, 'the key "a" is there twice'));
  it('refuses a tensor twice, once escaped', () =>
    refused(`{"a":${entry('U8', [1], 0, 1)},"\\u0061":${entry('U8', [1], 1, 2)}}`, 2, 'the key "a" is there twice'));
  it('refuses a key twice in a tensor', () =>
    refused('{"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}', 1, 'the key "shape" is there twice'));
  it('refuses a key twice in the metadata', () =>
    refused('{"__metadata__":{"k":"1","k":"2"}}', 0, 'the key "k" is there twice'));
  it('refuses the metadata twice', () =>
    refused('{"__metadata__":{},"__metadata__":{}}', 0, 'the key "__metadata__" is there twice'));
});

describe('metadata', () => {
  it('refuses what is no object', () => refused('{"__metadata__":[]}', 0, '__metadata__', 'not array'));
  it('refuses null', () => refused('{"__metadata__":null}', 0, '__metadata__', 'not null'));
  it('refuses a value that is no string', () =>
    refused('{"__metadata__":{"epoch":3}}', 0, '__metadata__', '"epoch"', 'not number'));
});

describe('entries', () => {
  const one = (body: string, ...parts: (string | RegExp)[]) => refused(`{"a.w":${body}}`, 8, 'tensor "a.w"', ...parts);

  it('refuses what is no object', () => one('[1]', 'not array'));
  it('refuses __proto__ as a name', () =>
    refused(`{"__proto__":${entry('U8', [8], 0, 8)}}`, 8, '"__proto__"', 'not allowed'));
  it('refuses __proto__ written with escapes', () =>
    refused(`{"\\u005f_proto__":${entry('U8', [8], 0, 8)}}`, 8, '"__proto__"', 'not allowed'));
  it('refuses another key', () =>
    one('{"dtype":"U8","shape":[8],"data_offsets":[0,8],"strides":[1]}', 'unknown key "strides"'));
  it('refuses an entry without dtype', () => one('{"shape":[8],"data_offsets":[0,8]}', 'no dtype'));
  it('refuses an entry without shape', () => one('{"dtype":"U8","data_offsets":[0,8]}', 'no shape'));
  it('refuses an entry without offsets', () => one('{"dtype":"U8","shape":[8]}', 'no data_offsets'));
  it('refuses a dtype that is no string', () => one('{"dtype":8,"shape":[8],"data_offsets":[0,8]}', 'not number'));
  it('refuses an unknown dtype', () => one(entry('F4', [8], 0, 8), 'unknown dtype "F4"', 'BF16'));
  it('refuses a dtype in lower case', () => one(entry('u8', [8], 0, 8), 'unknown dtype "u8"'));
  it('refuses dtypes named as object members', () => one(entry('constructor', [8], 0, 8), 'unknown dtype'));
  it('refuses a shape that is no list', () => one(entry('U8', 8, 0, 8), 'shape must be an array, not number'));
  it('refuses a negative dimension', () => one(entry('U8', [-8], 0, 8), 'shape', '-8'));
  it('refuses a fraction', () => one('{"dtype":"U8","shape":[8.0],"data_offsets":[0,8]}', 'shape', '8.0'));
  it('refuses an exponent', () => one('{"dtype":"U8","shape":[8e0],"data_offsets":[0,8]}', 'shape', '8e0'));
  it('refuses minus zero', () => one('{"dtype":"U8","shape":[-0],"data_offsets":[0,8]}', 'shape', '-0'));
  it('refuses a dimension above 2^53', () =>
    one('{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,8]}', '9007199254740993'));
  it('refuses a dimension that is a string', () => one(entry('U8', ['8'], 0, 8), 'shape', 'not string'));
  it('refuses too many elements', () =>
    one(entry('U8', [4294967296, 4294967296], 0, 8), '[4294967296, 4294967296]', '2^53'));
  it('refuses too many bytes', () => one(entry('F64', [2 ** 52], 0, 8), '[4503599627370496] of F64', '2^53'));
  it('refuses three offsets', () => one('{"dtype":"U8","shape":[8],"data_offsets":[0,4,8]}', 'two numbers, not 3'));
  it('refuses one offset', () => one('{"dtype":"U8","shape":[8],"data_offsets":[8]}', 'two numbers, not 1'));
  it('refuses a negative offset', () => one(entry('U8', [8], -1, 7), 'data_offsets', '-1'));
  it('refuses an end before the beginning', () => one(entry('U8', [8], 8, 0), 'end at 0', 'begin at 8'));
  it('refuses a span that is not the shape', () =>
    one(entry('F32', [3], 0, 8), '[3] of F32 takes 12 bytes', '0 to 8 hold 8'));
  it('refuses a span for an empty tensor', () => one(entry('F32', [0], 0, 8), 'takes 0 bytes', 'hold 8'));
  it('cuts a very long name in the message', async () => {
    const error = await refused(`{"${'n'.repeat(100_000)}":1}`, 0, '100000 characters');
    expect(error.detail.length).toBeLessThan(400);
  });
});

describe('the layout of the data', () => {
  const a = `"a":${entry('U8', [8], 0, 8)}`;
  it('refuses a first tensor that does not begin at 0', () =>
    refused(`{"a":${entry('U8', [8], 4, 12)}}`, 12, '"a"', 'offset 0', 'not at 4'));
  it('refuses a gap', () =>
    refused(`{${a},"b":${entry('U8', [2], 10, 12)}}`, 12, 'gap', '"a" ends at offset 8', '"b", begins at 10'));
  it('refuses an overlap', () =>
    refused(`{"b":${entry('U8', [4], 6, 10)},${a}}`, 10, '"a" and "b" overlap', '0 to 8', '6 to 10'));
  it('refuses the same bytes twice', () => refused(`{"b":${entry('I8', [8], 0, 8)},${a}}`, 8, '"a" and "b" overlap'));
  it('refuses an empty tensor inside another', () =>
    refused(`{"e":${entry('U8', [0], 3, 3)},${a}}`, 8, '"a" and "e" overlap', '3 to 3'));
  it('refuses an empty tensor beyond the data', () =>
    refused(`{"e":${entry('U8', [0], 9, 9)},${a}}`, 8, 'gap', '"e"', '9'));
  it('tells a truncated file', async () => {
    const json = `{${a},"b":${entry('U8', [4], 8, 12)}}`;
    const at = 8 + json.length;
    await refused(json, 9, 'truncated', `end at byte ${at + 12}`, `has ${at + 9} bytes`, '3 are missing', '"b"');
    await refused(json, 0, 'truncated', '12 are missing', 'cut off is "a"');
  });
  it('tells trailing bytes', () => refused(`{${a}}`, 11, '3 trailing bytes'));
  it('tells trailing bytes after no tensors', () => refused('{}', 1, '1 trailing bytes'));
});

describe('other formats', () => {
  const start = (...bytes: number[]) => Buffer.concat([Buffer.from(bytes), Buffer.alloc(64, 0x71)]);
  it.each([2, 3, 4, 5])('refuses pickle protocol %i', async (protocol) => {
    await expectError(() => read(start(0x80, protocol, 0x95)), 'unsafe_format', `protocol ${protocol}`, 'save_file');
  });
  it('refuses a pickle of a few bytes', () =>
    expectError(() => read(Uint8Array.of(0x80, 4, 0x4e, 0x2e)), 'unsafe_format', 'pickle'));
  it('refuses a small pickle whose length field could be one', () =>
    // The eight bytes read as a header of 9 766 016 bytes, which is within the limit.
    expectError(() => read(Buffer.from('80049500000000000000007d942e', 'hex')), 'unsafe_format', 'pickle'));
  it('refuses zip', () => expectError(() => read(start(0x50, 0x4b, 3, 4)), 'unsafe_format', 'zip', 'save_file'));
  it('knows GGUF', () => expectError(() => read(start(0x47, 0x47, 0x55, 0x46, 3)), 'invalid_checkpoint', 'GGUF'));
  it('knows HDF5', () =>
    expectError(() => read(start(0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a)), 'invalid_checkpoint', 'HDF5'));
  it('knows a Git LFS pointer', () =>
    expectError(
      () => read(Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n')),
      'invalid_checkpoint',
      'Git LFS pointer',
    ));
});
