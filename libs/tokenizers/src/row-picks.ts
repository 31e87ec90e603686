/**
 * Where the rows of a re-indexed embedding come from, in runs: rows [starts[k], starts[k + 1]) of the result are, element by
 * element, the mean over the run's sources s, begins[k] <= s < begins[k + 1], of the rows of input inputs[s] that begin with
 * row firstRows[s]. A run without sources is zeros, one with a single source a copy.
 */
export interface RowPicks {
  rows: number;
  starts: Int32Array;
  begins: Int32Array;
  inputs: Int32Array;
  firstRows: Int32Array;
}

/** A row of an input. */
export interface InputRow {
  input: number;
  row: number;
}

/** Joins rows, as they are given one after the other, into runs. */
export class RowPicksBuilder {
  readonly #starts: number[] = [];
  readonly #begins: number[] = [];
  readonly #inputs: number[] = [];
  readonly #firstRows: number[] = [];
  #rows = 0;

  /** The next row: the mean of these, zeros when there is none. */
  push(sources: readonly InputRow[]): void {
    if (!this.#continues(sources)) {
      this.#starts.push(this.#rows);
      this.#begins.push(this.#inputs.length);
      for (const { input, row } of sources) {
        this.#inputs.push(input);
        this.#firstRows.push(row);
      }
    }
    this.#rows++;
  }

  #continues(sources: readonly InputRow[]): boolean {
    const begin = this.#begins.at(-1);
    const start = this.#starts.at(-1);
    if (begin === undefined || start === undefined || this.#inputs.length - begin !== sources.length) return false;
    const length = this.#rows - start;
    return sources.every(
      ({ input, row }, i) => this.#inputs[begin + i] === input && this.#firstRows[begin + i] === row - length,
    );
  }

  finish(): RowPicks {
    return {
      rows: this.#rows,
      starts: Int32Array.from([...this.#starts, this.#rows]),
      begins: Int32Array.from([...this.#begins, this.#inputs.length]),
      inputs: Int32Array.from(this.#inputs),
      firstRows: Int32Array.from(this.#firstRows),
    };
  }
}

/** Do the picks leave an embedding of `input` with `rows` rows as it is? */
export function isUnchanged(picks: RowPicks, input: number, rows: number): boolean {
  if (picks.rows !== rows) return false;
  if (rows === 0) return true;
  return (
    picks.starts.length === 2 && picks.inputs.length === 1 && picks.inputs[0] === input && picks.firstRows[0] === 0
  );
}
