/** A model of a family: names, shapes and config as Hugging Face's transformers write them, in sizes of a few kilobytes. */
export interface TinyModel {
  shapes: Shapes;
  config: Record<string, unknown>;
}

/** Name to shape. */
export type Shapes = Record<string, number[]>;

export interface Sizes {
  /** Blocks; of the text part where there are several. Default 4. */
  layers?: number;
  /** Tokens. Default 40. */
  vocabulary?: number;
  /** Does the head share the embedding's weight? Default: as usual in the family. */
  tied?: boolean;
}

export const HIDDEN = 16;
export const INNER = 24;
export const POSITIONS = 64;

/** Weight and bias of a linear layer, [out, in] and [out]. */
export function linear(name: string, out: number, into: number, bias = true): Shapes {
  return { [`${name}.weight`]: [out, into], ...(bias ? { [`${name}.bias`]: [out] } : {}) };
}

export function norm(name: string, bias = true, size = HIDDEN): Shapes {
  return { [`${name}.weight`]: [size], ...(bias ? { [`${name}.bias`]: [size] } : {}) };
}

/** The parts under a prefix. */
export function under(prefix: string, ...parts: Shapes[]): Shapes {
  return Object.fromEntries(
    parts.flatMap((part) => Object.entries(part).map(([name, shape]) => [`${prefix}.${name}`, shape])),
  );
}

/** Blocks 0 to count - 1 under a prefix. */
export function blocks(prefix: string, count: number, block: (index: number) => Shapes): Shapes {
  return Object.assign({}, ...Array.from({ length: count }, (_, i) => under(`${prefix}.${i}`, block(i)))) as Shapes;
}
