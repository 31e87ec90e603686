import { AmalgamError, type Dtype, quote } from '@amalgam/contracts';
import { type Literal, parseLiteral } from './npz-literal.js';
import { bytesOf, elementsOf } from './shape.js';

/** What the header of an npy file (numpy.lib.format, versions 1.0 to 3.0) says. */
export interface NpyHeader {
  dtype: Dtype;
  shape: number[];
  /** Of the elements, which follow the header and end the file. */
  bytes: number;
  headerBytes: number;
}

const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
/** Magic, version, and a length of four bytes. */
export const MAX_PREAMBLE_BYTES = 12;
/** NumPy itself reads no header above 10 000 bytes unless told to. */
const MAX_HEADER_BYTES = 65_536;
const MAX_RANK = 64;

/** Type codes of NumPy's array interface; without the letter for byte order. */
const DTYPE_CODES: Readonly<Record<string, Dtype>> = {
  f2: 'F16',
  f4: 'F32',
  f8: 'F64',
  i1: 'I8',
  i2: 'I16',
  i4: 'I32',
  i8: 'I64',
  u1: 'U8',
  u2: 'U16',
  u4: 'U32',
  u8: 'U64',
  b1: 'BOOL',
};

type Fail = (problem: string) => AmalgamError;

/**
 * How many bytes the header takes, magic and all, from the array's first 12 bytes (or as many as there are).
 * Errors: those of `fail`, for what is no npy file of a known version or has too long a header.
 */
export function npyHeaderBytes(start: Uint8Array, fail: Fail): number {
  if (Buffer.compare(start.subarray(0, MAGIC.length), MAGIC) !== 0) throw fail('is not an array of NumPy’s format');
  if (start.length < 10) throw fail('is cut off within its header');
  const [major = 0, minor = 0] = start.subarray(MAGIC.length);
  if (!(major >= 1 && major <= 3 && minor === 0)) {
    throw fail(`has version ${major}.${minor} of NumPy’s format; 1.0, 2.0 and 3.0 are known`);
  }
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  if (major > 1 && start.length < MAX_PREAMBLE_BYTES) throw fail('is cut off within its header');
  const bytes = major === 1 ? 10 + view.getUint16(8, true) : MAX_PREAMBLE_BYTES + view.getUint32(8, true);
  if (bytes > MAX_HEADER_BYTES) throw fail(`has a header of ${bytes} bytes; at most ${MAX_HEADER_BYTES} are read`);
  return bytes;
}

/**
 * Reads a header, of which `header` has every byte. Only arrays that are rows of numbers or booleans,
 * little-endian, as they lie in C order, are taken.
 *
 * Errors: those of `fail`; `unsafe_format` for objects, which NumPy stores as pickle.
 */
export function parseNpyHeader(header: Uint8Array, fail: Fail): NpyHeader {
  const textBegin = header[MAGIC.length] === 1 ? 10 : MAX_PREAMBLE_BYTES;
  const text = Buffer.from(header.subarray(textBegin)).toString('latin1');
  const dict = parseLiteral(text, (problem) => fail(`its header ${problem}`));
  if (!(dict instanceof Map)) throw fail('its header is not a dict');
  const keys = [...dict.keys()].sort();
  if (keys.join() !== 'descr,fortran_order,shape') {
    throw fail(`its header has the keys ${quote(keys.join(', '))}; they must be descr, fortran_order and shape`);
  }
  const dtype = dtypeOf(dict.get('descr'), fail);
  const shape = shapeOf(dict.get('shape'), fail);
  const fortran = dict.get('fortran_order');
  if (typeof fortran !== 'boolean') throw fail('its fortran_order is neither True nor False');
  if (fortran && shape.length > 1) {
    throw fail('is in Fortran order; save numpy.ascontiguousarray(array)');
  }
  const elements = elementsOf(shape);
  const bytes = elements === null ? null : bytesOf(dtype, elements);
  if (bytes === null) throw fail(`shape [${shape.join(', ')}] of ${dtype} has more than 2^53 elements or bytes`);
  return { dtype, shape, bytes, headerBytes: header.length };
}

function dtypeOf(descr: Literal | undefined, fail: Fail): Dtype {
  if (typeof descr !== 'string') {
    if (hasObjects(descr)) throw unsafe(fail('is a structured array with Python objects'));
    throw fail('is a structured array; save each of its fields as an array of its own');
  }
  if (isObject(descr)) throw unsafe(fail('is an array of Python objects'));
  const [, order = '', code = ''] = /^([<>|=])([a-z][0-9]+)$/.exec(descr) ?? [];
  const dtype = Object.hasOwn(DTYPE_CODES, code) ? DTYPE_CODES[code] : undefined;
  if (dtype === undefined) {
    const known = Object.keys(DTYPE_CODES).join(', ');
    throw fail(`has dtype ${quote(descr)}; known are ${known}`);
  }
  // Elements of one byte have no order.
  const single = code.endsWith('1');
  if (order === '>' && !single) throw fail(`is big-endian (${quote(descr)}); save array.astype("<${code}")`);
  if (order === '<' || single) return dtype;
  throw fail(`has dtype ${quote(descr)}, which does not say that it is little-endian`);
}

function shapeOf(shape: Literal | undefined, fail: Fail): number[] {
  const sizes = typeof shape === 'object' && shape !== null && 'tuple' in shape ? shape.tuple : null;
  const numbers = sizes?.filter((size) => typeof size === 'number') ?? [];
  if (sizes === null || numbers.length !== sizes.length) throw fail('its shape is not a tuple of whole numbers');
  if (numbers.length > MAX_RANK) throw fail(`has ${numbers.length} dimensions; at most ${MAX_RANK} are read`);
  return numbers;
}

function isObject(descr: string): boolean {
  return /^[<>|=]?O/.test(descr);
}

function hasObjects(descr: Literal | undefined): boolean {
  if (typeof descr === 'string') return isObject(descr);
  if (typeof descr !== 'object' || descr === null) return false;
  if (descr instanceof Map) return [...descr.values()].some(hasObjects);
  return ('tuple' in descr ? descr.tuple : 'list' in descr ? descr.list : []).some(hasObjects);
}

function unsafe(error: AmalgamError): AmalgamError {
  const advice = 'NumPy stores objects as pickle, which can run code when it is loaded; save arrays of numbers';
  return new AmalgamError('unsafe_format', `${error.detail}. ${advice}`);
}
