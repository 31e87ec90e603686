/** A tensor's name, taken apart at the number of its block. */
export interface BlockName {
  /** What is before the number, without the dot; may be empty. */
  prefix: string;
  index: number;
  /** What is after it: the name inside of the block. */
  rest: string;
}

/**
 * `model.layers.3.mlp.up_proj.weight` is `mlp.up_proj.weight` of block 3 of `model.layers`; null for names without a number.
 * The first number counts: those after it are experts, or parts of a block that are numbered themselves.
 */
export function splitBlockName(name: string): BlockName | null {
  let begin = 0;
  for (;;) {
    const end = name.indexOf('.', begin);
    if (end < 0) return null;
    const segment = name.slice(begin, end);
    if (/^(0|[1-9]\d{0,6})$/.test(segment) && end + 1 < name.length) {
      return { prefix: name.slice(0, Math.max(0, begin - 1)), index: Number(segment), rest: name.slice(end + 1) };
    }
    begin = end + 1;
  }
}

/** The inverse of `splitBlockName`. */
export function joinBlockName({ prefix, index, rest }: BlockName): string {
  return prefix === '' ? `${index}.${rest}` : `${prefix}.${index}.${rest}`;
}

/** Is `path` the name's beginning, up to a dot or its end? The empty path is the beginning of all. */
export function isUnder(name: string, path: string): boolean {
  return path === '' || name === path || name.startsWith(`${path}.`);
}
