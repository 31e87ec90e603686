import type { Block } from './definition.js';

/**
 * What a method has to know of its inputs as a whole before it can combine a block of them. Each survey streams the inputs once more;
 * the engine does it (its surveys.ts), in the order of the method's list. What it finds is in `Block.found` for the surveys that follow,
 * `resolve` and `combine`, and does not depend on threads or chunks. Surveys see inputs as they are, before they are sparsified.
 */
export type Survey = Ranking | Sums;

/** What a survey covers: each tensor by itself, or all merged tensors together. */
export type SurveyScope = 'tensor' | 'model';

/**
 * Finds the values at given places of an order, exactly and without sorting. Values are float32; equals are in the order of their
 * index: tensors by name, entries row-major.
 */
export interface Ranking {
  kind: 'ranking';
  scope: SurveyScope;
  /** Each model's values have an order of their own, or there is one column of values for all models together. */
  of: 'models' | 'all';
  /** The largest magnitude comes first, or the largest value. */
  order: 'magnitude' | 'value';
  /** Which places are wanted of a column. Asked only where there are elements. */
  places(total: { elements: number; column: number; found: Found[] }): Rank[];
  /** Only the values there are used, and not where entries equal to them end, which may take another look at the inputs. */
  valuesOnly?: true;
  /**
   * Writes the values of a block: over the models' inputs for `of: models`, to `block.out` for `of: all`. Shares: those of the models
   * (Block.shares), where the method has them, are the values as they are. Absent: the inputs themselves are ranked. `block.weights` is not set. `floors`: by column; a value below its floor may be written as any other number below it. Null:
   * all values matter.
   */
  values?: 'shares' | ((block: Block, floors: (() => readonly number[]) | null) => void);
}

/**
 * A place of an order: 1 is the first, the number of elements the last, others are an error. Or a share of the entries whose magnitude is
 * not 0, rounded down, but 1 at least: there is no mark for it where there are none.
 */
export type Rank = number | { shareOfNonzero: number };

/** Sums over a scope, in float64 over a fixed tree. */
export interface Sums {
  kind: 'sums';
  scope: SurveyScope;
  /** The sums of one block; as many for every block. It may change the block's inputs. `block.weights` is not set. */
  measure(block: Block): number[];
  /** The same after the inputs were sparsified; what it returns is appended to what `measure` returns. */
  measureKept?(block: Block): number[];
  /**
   * Looks at one tensor's sums before they are used.
   *
   * @throws AmalgamError where the method is not defined for what the tensor holds
   */
  check?(sums: number[], tensor: string): void;
  /**
   * For scope model, where a sum over all entries will not do: how the tensors' sums become the model's. Default: they are added.
   */
  join?(tensors: { elements: number; sums: number[] }[]): number[];
}

/** A place in an order, as it falls in one tensor. */
export interface Mark {
  /** The value there; magnitudes are not negative. */
  value: number;
  /** Of the entries equal to it those below this index of the tensor come no later than the place; all of them with `valuesOnly`. */
  tieEnd: number;
}

/** What a survey has found for one tensor. */
export type Found =
  /** By column, then place, as `places` asked for them. Empty for a scope without elements. */
  { kind: 'marks'; columns: Mark[][] } | { kind: 'sums'; sums: number[] };

/** What the survey at this place of the method's list, a ranking, has found: by column, then place. */
export function marksOf(found: Found[], survey: number): Mark[][] {
  const own = found[survey];
  if (own?.kind !== 'marks') throw new TypeError(`survey ${survey} is no ranking that was made`);
  return own.columns;
}

/** What the survey at this place of the method's list, one of sums, has found. */
export function sumsOf(found: Found[], survey: number): number[] {
  const own = found[survey];
  if (own?.kind !== 'sums') throw new TypeError(`survey ${survey} has no sums that were made`);
  return own.sums;
}

/** Does an entry come no later in its order than the mark? `value` is what the ranking ranks: for magnitudes without its sign. */
export function isWithin(mark: Mark, value: number, index: number): boolean {
  if (value === mark.value || (Number.isNaN(value) && Number.isNaN(mark.value))) return index < mark.tieEnd;
  // NaN comes first in every order.
  return !Number.isNaN(mark.value) && !(value < mark.value);
}
