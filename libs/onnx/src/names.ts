/** Names that are taken, and new ones that are not. */
export class FreshNames {
  readonly #taken = new Set<string>();
  /** Per hint, the last number tried, so that thousands of names from one hint take no longer each. */
  readonly #counts = new Map<string, number>();

  add(name: string): void {
    this.#taken.add(name);
  }

  /** `hint`, or `hint_1` and so on; never ''. It is taken from now on. */
  take(hint: string): string {
    let name = hint;
    let count = this.#counts.get(hint) ?? 0;
    while (name === '' || this.#taken.has(name)) name = `${hint}_${++count}`;
    this.#counts.set(hint, count);
    this.#taken.add(name);
    return name;
  }
}
