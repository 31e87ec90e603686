/** A tensor in its place on a map. */
export interface Column {
  /** Where it is in the list that was given. */
  index: number;
  name: string;
  /** Its block, `encoder.blocks.3` say; `other` for what belongs to none. */
  group: string;
}

const OTHER = 'other';
const natural = new Intl.Collator('en', { numeric: true });

/** Tensors by block, blocks by number, then what is in no block; within a block by name. */
export function groupColumns(names: readonly string[]): Column[] {
  const columns = names.map((name, index) => ({ index, name, group: blockOf(name) }));
  return columns.sort(
    (a, b) =>
      Number(a.group === OTHER) - Number(b.group === OTHER) ||
      natural.compare(a.group, b.group) ||
      natural.compare(a.name, b.name),
  );
}

/** The name up to its first number: layers of every common architecture are named so. */
function blockOf(name: string): string {
  return /^(?:.*?[./])?\d+(?=[./])/.exec(name)?.[0] ?? OTHER;
}
