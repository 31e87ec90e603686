import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { describeDataset, localFileFolder } from '../src/index.js';
import { memory } from './memory-folder.js';
import { matrix, npyFile, type WrittenMember, zipFile } from './zip-writer.js';

const FIXTURES = fileURLToPath(new URL('./fixtures/', import.meta.url));
const fixture = (name: string) => describeDataset(localFileFolder(join(FIXTURES, `${name}.npz`)));

const x: WrittenMember = { name: 'x.npy', data: matrix(3, 2) };
const y: WrittenMember = { name: 'y.npy', data: matrix(3, 5), deflate: true };
type Options = Parameters<typeof zipFile>[1];
const read = (members: readonly WrittenMember[], options?: Options) =>
  describeDataset(memory({ 'd.npz': zipFile(members, options) }));
const refused = (members: readonly WrittenMember[], part: string, options?: Options) =>
  expectError(() => read(members, options), 'invalid_dataset', 'M/d.npz: ', part);

describe('an npz file that NumPy wrote', () => {
  it.each(['stored', 'deflated'])('is described: %s', async (name) => {
    const { format, rows, labelled, tensors } = await fixture(name);
    expect({ format, rows, labelled }).toEqual({ format: 'npz', rows: 3, labelled: true });
    expect(Object.fromEntries(tensors.map((tensor) => [tensor.name, `${tensor.dtype} ${tensor.shape}`]))).toEqual({
      bool: 'BOOL 3,2',
      f2: 'F16 3,2',
      f4: 'F32 3,2',
      f8: 'F64 3,2',
      größe: 'F32 3',
      i1: 'I8 3,2',
      i2: 'I16 3,2',
      i4: 'I32 3,2',
      i8: 'I64 3,2',
      labels: 'I64 3',
      u1: 'U8 3,2',
      u2: 'U16 3,2',
      u4: 'U32 3,2',
      u8: 'U64 3,2',
    });
    expect(tensors.every(({ compressed }) => (compressed !== null) === (name === 'deflated'))).toBe(true);
  });

  it.each([
    ['structured', 'member "x.npy": is a structured array; save each of its fields'],
    ['big-endian', 'member "x.npy": is big-endian (">f4"); save array.astype("<f4")'],
    ['fortran', 'member "x.npy": is in Fortran order; save numpy.ascontiguousarray(array)'],
    ['text', 'member "x.npy": has dtype "<U1"; known are f2, f4'],
    ['complex', 'has dtype "<c8"'],
    ['dates', 'has dtype "<M8[s]"'],
    ['scalar', 'tensor "x": shape []: has no first dimension'],
    ['rowless', 'tensor "x": shape [0, 2]: has no rows'],
    ['uneven', 'tensor "y": shape [2, 2]: has 2 rows, but "x" has 3'],
    ['only-labels', 'has no tensor besides "labels"'],
  ])('is refused: %s', async (name, part) => {
    await expectError(() => fixture(name), 'invalid_dataset', `${name}.npz: `, part);
  });

  it.each(['objects', 'structured-objects'])('is refused as unsafe: %s', async (name) => {
    await expectError(() => fixture(name), 'unsafe_format', 'member "x.npy"', 'NumPy stores objects as pickle');
  });
});

describe('a zip archive', () => {
  it('is read with a comment, with zip64 records, and with marks that mean no harm', async () => {
    const plain = await read([x, y]);
    expect(plain.tensors).toMatchObject([{ name: 'x', begin: 105 }, { name: 'y' }]);
    expect((await read([x, y], { comment: 'made by hand' })).tensors).toEqual(plain.tensors);
    expect((await read([x, y], { zip64: true })).tensors).toEqual(plain.tensors);
    expect((await read([{ ...x, flags: 0b1110 }, y])).tensors).toEqual(plain.tensors);
  });

  const members: [string, WrittenMember[], string][] = [
    ['without members', [], 'has no tensors'],
    ['with a member twice', [x, x], 'the member "x.npy" is there twice'],
    ['with a member that is no array', [x, { name: 'notes.txt', data: matrix(3, 1) }], '"notes.txt": is not named as'],
    ['with an array without a name', [{ ...x, name: '.npy' }], 'member ".npy": is not named as an array is'],
    ['with a folder', [{ name: 'a/', data: new Uint8Array(0) }], 'member "a/": is not named'],
    ['with a name that means something else', [{ ...x, name: '__proto__.npy' }], 'this name is not allowed'],
    ['with a name that may be anything', [{ ...x, name: Uint8Array.of(0x84, 0x2e) }], 'neither ASCII nor marked'],
    ['with a name that is no UTF-8', [{ ...x, name: Uint8Array.of(0xff), flags: 1 << 11 }], 'is not valid UTF-8'],
    ['with an encrypted member', [{ ...x, flags: 1 }], 'member "x.npy": is encrypted'],
    ['with strong encryption', [{ ...x, flags: 1 << 6 }], 'has zip flags that are not supported (0x40)'],
    ['with another compression', [{ ...x, method: 14 }], 'is compressed by method 14'],
    ['with a stored member of two sizes', [{ ...x, storedBytes: 90 }], 'is stored as it is, in 90 bytes, but'],
    ['with a member beyond its end', [{ ...x, storedBytes: 9999, bytes: 9999 }], 'has 9999 bytes from byte 35, but'],
    ['with a member that begins outside', [{ ...x, offset: 5000 }], 'begins at byte 5000, outside'],
    ['with a member that begins where none does', [{ ...x, offset: 3 }], 'has no header at byte 3'],
    ['with overlapping members', [x, { ...y, name: 'x.npz' }].map((m) => ({ ...m, offset: 0 })), 'overlaps the member'],
    ['with a member of two names', [{ ...x, localName: 'z.npy' }], 'disagree on its name or compression'],
    ['with a member of two compressions', [{ ...x, localMethod: 8 }], 'disagree on its name or compression'],
    ['that is a bomb', [{ ...y, bytes: 2 ** 31 }], 'is said to have 2147483648 bytes; no deflated'],
    [
      'with too many members',
      Array.from({ length: 1001 }, (_, i) => ({ ...x, name: `x${i}.npy` })),
      'has 1001 members',
    ],
  ];
  it.each(members)('%s is refused', async (_, given, part) => {
    await refused(given, part);
  });

  const ends: [string, Options, string][] = [
    [
      'with more entries than it has',
      { end: (record) => void record.entries++ },
      'entry 2 of its zip directory is not one',
    ],
    ['with fewer entries than it has', { end: (record) => void record.entries-- }, 'bytes after its 1 entries'],
    ['with a directory elsewhere', { end: (record) => void record.begin-- }, 'is said to be'],
    [
      'with bytes before it',
      { before: Buffer.from('PK\x03\x04') },
      'it is truncated, or bytes were put before or into it',
    ],
    [
      'with bytes before it, and zip64',
      { zip64: true, before: Buffer.from('PK\x03\x04') },
      'the zip64 record is missing',
    ],
  ];
  it.each(ends)('%s is refused', async (_, options, part) => {
    await refused([x, y], part, options);
  });

  it('that ends early is refused, wherever it ends', async () => {
    const file = zipFile([x, y]);
    for (let length = 0; length < file.length; length++) {
      const files = { 'd.npz': file.subarray(0, length) };
      await expectError(() => describeDataset(memory(files)), 'invalid_dataset', 'M/d.npz: ');
    }
  });
});

describe('an array', () => {
  const header = (descr: string, shape = '(2,)', order = 'False') =>
    `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }`;
  const array = (text: string, bytes = 8) => [{ name: 'x.npy', data: npyFile(text, new Uint8Array(bytes)) }];

  it.each([
    ['with spaces and double quotes', '{"shape":(2,) , "descr":"<f4","fortran_order":False}   ', 'F32'],
    ['of bytes with a byte order', header("'<i1'", '(8,)'), 'I8'],
    ['of bytes in the other order', header("'>u1'", '(8,)'), 'U8'],
  ])('is read %s', async (_, text, dtype) => {
    expect((await read(array(text))).tensors).toMatchObject([{ name: 'x', dtype }]);
  });

  it.each([
    [2, 0],
    [3, 0],
  ] as const)('is read of version %i.%i', async (...version) => {
    const data = npyFile(header("'<f4'"), new Uint8Array(8), version);
    expect((await read([{ name: 'x.npy', data }])).tensors).toMatchObject([{ shape: [2] }]);
  });

  const texts: [string, string, string][] = [
    ['a missing key', "{'descr': '<f4', 'shape': (2,)}", 'has the keys "descr, shape"'],
    ['a key too many', "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", 'has the keys'],
    [
      'a key twice',
      "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
      'has the key "descr" twice',
    ],
    ['no dict', "('<f4', False, (2,))", 'its header is not a dict'],
    ['a call', "__import__('os')", 'has "_" at character 0, where a value is expected'],
    ['a word', header('evil'), 'has "evil", which is not a literal'],
    ['a name of JavaScript', header('constructor'), 'has "constructor", which is not a literal'],
    ['more than a dict', `${header("'<f4'")} + 1`, 'where nothing more is expected'],
    ['an escape', header("'\\x3cf4'"), 'where a string without escapes that ends is expected'],
    ['an open string', "{'descr", 'where a string without escapes'],
    ['an open dict', "{'descr': '<f4',", 'has the end at character'],
    ['no comma', "{'descr': '<f4' 'shape': (2,)}", 'where a comma or } is expected'],
    ['no colon', "{'descr' '<f4'}", 'where a colon is expected'],
    ['a key that is no string', '{1: 2}', 'where a string without escapes'],
    ['brackets of great depth', '('.repeat(5000), 'is nested more than 16 deep'],
    ['a shape that is a number', header("'<f4'", '(2)'), 'where a comma in a tuple of one is expected'],
    ['a shape that is a list', header("'<f4'", '[2]'), 'its shape is not a tuple of whole numbers'],
    ['a shape of words', header("'<f4'", '(True,)'), 'its shape is not a tuple of whole numbers'],
    ['a negative size', header("'<f4'", '(-2,)'), 'has "-" at character'],
    ['half a row', header("'<f4'", '(2.5,)'), 'has "." at character'],
    ['a huge size', header("'<f4'", '(99999999999999999999,)'), 'is not a whole number up to 2^53'],
    ['huge sizes', header("'<f4'", '(4503599627370496, 4503599627370496)'), 'has more than 2^53 elements'],
    ['sizes in octal', header("'<f4'", '(02,)'), 'has 02, which is not a whole number'],
    ['too many dimensions', header("'<f4'", `(${'1,'.repeat(65)})`), 'has 65 dimensions'],
    ['a dtype without an order', header("'f4'"), 'has dtype "f4"'],
    ['the machine’s order', header("'=f4'"), 'has dtype "=f4", which does not say that it is little-endian'],
    ['an order that is none', header("'|f4'"), 'which does not say that it is little-endian'],
    ['an order that is no truth', header("'<f4'", '(2,)', "'no'"), 'its fortran_order is neither True nor False'],
    ['fewer elements than the shape', header("'<f4'", '(3,)'), 'takes 12 bytes, but 8 follow its header'],
    ['more elements than the shape', header("'<f4'", '(1,)'), 'takes 4 bytes, but 8 follow its header'],
  ];
  it.each(texts)('is refused for %s in its header', async (_, text, part) => {
    await refused(array(text), part);
  });

  it('is refused as unsafe for objects, however they are spelt', async () => {
    for (const descr of ["'|O'", "'O'", "'|O8'", "[('a', '<f4'), ('b', [('c', '|O')], (2,))]"]) {
      await expectError(() => read(array(header(descr))), 'unsafe_format', 'M/d.npz: member "x.npy"');
    }
  });

  it('is refused when it is no array, or of an unknown version, or its header is too long', async () => {
    const change = (at: number, value: number) => {
      const data = Uint8Array.from(matrix(2, 1));
      data[at] = value;
      return [{ name: 'x.npy', data }];
    };
    await refused(change(1, 0), 'is not an array of NumPy’s format');
    await refused(change(6, 4), 'has version 4.0 of NumPy’s format');
    await refused(change(7, 1), 'has version 1.1');
    await refused(change(8, 255), 'is cut off within its header');
    await refused([{ name: 'x.npy', data: Buffer.from('\x93NUMPY\x01\x00\x01', 'latin1') }], 'is cut off');
    await refused([{ name: 'x.npy', data: Buffer.from('\x93NUMPY\x02\x00\x01\x00', 'latin1') }], 'is cut off');
    const long = npyFile(header("'<f4'").padEnd(70_000), new Uint8Array(8), [2, 0]);
    await refused([{ name: 'x.npy', data: long }], 'has a header of 70013 bytes; at most 65536 are read');
  });
});

describe('a deflated array', () => {
  const data = matrix(3, 5);

  it('is refused when its beginning is damaged or ends too early', async () => {
    await refused([{ ...y, stored: Uint8Array.of(7, 7, 7) }], 'its compressed bytes are damaged (invalid block type)');
    await refused([{ ...y, stored: Uint8Array.of(3, 0) }], 'inflates to 0 bytes, fewer than its header takes');
    await refused([{ ...y, data: data.subarray(0, 20), bytes: data.length }], 'inflates to 20 bytes, fewer than');
  });

  it('is not inflated beyond its header, however large it is', async () => {
    const zeros = new Uint8Array(2 ** 26);
    const large = npyFile(`{'descr': '|u1', 'fortran_order': False, 'shape': (${zeros.length},), }`, zeros);
    const before = process.memoryUsage().arrayBuffers;
    const file = zipFile([{ name: 'x.npy', data: large, deflate: true, crc32: crc32('wrong') }]);
    expect(file.length).toBeLessThan(2 ** 17);
    expect((await describeDataset(memory({ 'd.npz': file }))).rows).toBe(zeros.length);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 24);
  });

  it('is refused when all would take more memory than a dataset may', async () => {
    // Of each there is only the header, which is all that is inflated to describe it.
    const rows = 2 ** 24;
    const header = npyFile(`{'descr': '|u1', 'fortran_order': False, 'shape': (${rows}, 63), }`, new Uint8Array(0));
    const bytes = header.length + rows * 63;
    const stored = Buffer.concat([deflateRawSync(header), Buffer.alloc(1_100_000)]);
    const member = (i: number) => ({ name: `x${i}.npy`, data: header, stored, deflate: true, bytes });
    expect((await read([member(0), member(1)])).rows).toBe(rows);
    await refused([member(0), member(1), member(2)], 'its compressed members have more than 2147483648 bytes');
  });
});
