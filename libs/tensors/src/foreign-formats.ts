import { AmalgamError, quoteList } from '@amalgam/contracts';

/** Formats whose loading can run code; they are recognised and refused, never opened. */
const PICKLE_EXTENSIONS = ['.bin', '.pt', '.pth', '.ckpt', '.pkl', '.pickle'];

const ADVICE =
  'Pickle can run code when it is loaded. Load the file in an environment you trust and save its tensors with ' +
  'safetensors.torch.save_file(state_dict, "model.safetensors")';

/** Bytes of a file's beginning that `foreignFormat` looks at. */
export const MAGIC_BYTES = 16;

interface Foreign {
  what: string;
  magic: readonly number[];
  advice: string;
}

const FOREIGN: readonly Foreign[] = [
  { what: 'a GGUF file', magic: ascii('GGUF'), advice: 'Merge the safetensors checkpoint and convert the result' },
  {
    what: 'an HDF5 file (Keras weights)',
    magic: [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a],
    advice: 'Save the weights as safetensors',
  },
  {
    what: 'a Git LFS pointer, not the file it stands for',
    magic: ascii('version https://'),
    advice: 'Fetch the file with git lfs pull',
  },
];

const FOREIGN_EXTENSIONS: readonly (readonly [string, string])[] = [
  ['.gguf', 'GGUF'],
  ['.h5', 'HDF5'],
  ['.hdf5', 'HDF5'],
  ['.keras', 'Keras'],
  ['.msgpack', 'Flax msgpack'],
  ['.npz', 'NumPy npz'],
  ['.onnx', 'ONNX'],
];

/** Whether a file's name says pickle: .bin .pt .pth .ckpt .pkl .pickle, in any case. */
export function hasPickleName(path: string): boolean {
  const lower = path.toLowerCase();
  return PICKLE_EXTENSIONS.some((extension) => lower.endsWith(extension));
}

/** The name of a format that a file's name stands for and that is not read here, or null. */
export function foreignName(path: string): string | null {
  const lower = path.toLowerCase();
  return FOREIGN_EXTENSIONS.find(([extension]) => lower.endsWith(extension))?.[1] ?? null;
}

/** AmalgamError `unsafe_format` for files whose names say pickle. `where` is the folder. */
export function pickleNamed(where: string, paths: readonly string[]): AmalgamError {
  return new AmalgamError('unsafe_format', `${where}: ${quoteList(paths)} would be read as pickle. ${ADVICE}`);
}

/**
 * The error for a file that is something other than safetensors, told by its first bytes (up to 16 of them),
 * or null when they say nothing. Pickle (0x80, protocol 2 to 5) and zip (torch.save since 1.6) are
 * `unsafe_format`, the rest `invalid_checkpoint`.
 *
 * A safetensors file may begin with the same bytes (a header of 640 bytes begins with 0x80 0x02), so this is
 * asked only once a file is known not to be one.
 */
export function foreignFormat(name: string, start: Uint8Array): AmalgamError | null {
  const protocol = start[1] ?? 0;
  // No pickle opcode is 0, while the third byte of a short header's length is.
  if (start[0] === 0x80 && protocol >= 2 && protocol <= 5 && start[2] !== 0) {
    return new AmalgamError('unsafe_format', `${name}: is a pickle file (protocol ${protocol}). ${ADVICE}`);
  }
  if (begins(start, [0x50, 0x4b, 0x03, 0x04])) {
    return new AmalgamError('unsafe_format', `${name}: is a zip archive, as torch.save writes. ${ADVICE}`);
  }
  const foreign = FOREIGN.find(({ magic }) => begins(start, magic));
  if (foreign === undefined) return null;
  return new AmalgamError('invalid_checkpoint', `${name}: is ${foreign.what}. ${foreign.advice}`);
}

function begins(bytes: Uint8Array, magic: readonly number[]): boolean {
  return bytes.length >= magic.length && magic.every((byte, i) => bytes[i] === byte);
}

function ascii(text: string): number[] {
  return [...Buffer.from(text, 'latin1')];
}
