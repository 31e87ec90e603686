/** A recipe while it is written: it may have anything in it, the service says what is wrong. */
export type Draft = Readonly<Record<string, unknown>>;
export type Path = readonly (string | number)[];

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is at a path; undefined where nothing is. */
export function getAt(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => {
    if (Array.isArray(value)) return typeof key === 'number' ? value[key] : undefined;
    return isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  }, root);
}

/** The text at a path, or an empty one. */
export function textAt(root: unknown, path: Path): string {
  const value = getAt(root, path);
  return typeof value === 'string' ? value : '';
}

/** The list at a path, or an empty one. */
export function listAt(root: unknown, path: Path): readonly unknown[] {
  const value = getAt(root, path);
  return Array.isArray(value) ? value : [];
}

/**
 * A copy with `value` at a path. Undefined takes away what is there, and objects that it leaves empty; from a list it takes the
 * item. What stands in the way and has no members is replaced.
 */
export function setAt(root: Draft, path: Path, value: unknown): Draft {
  const changed = setIn(root, path, value);
  return isRecord(changed) ? changed : {};
}

function setIn(node: unknown, [key, ...rest]: Path, value: unknown): unknown {
  if (key === undefined) return value;
  const inner = setIn(getAt(node, [key]), rest, value);
  if (typeof key === 'number') {
    const list = Array.isArray(node) ? [...node] : [];
    if (inner === undefined && rest.length === 0) list.splice(key, 1);
    else list[key] = inner ?? {};
    return list.length === 0 ? undefined : list;
  }
  const { [key]: _, ...others } = isRecord(node) ? node : {};
  if (inner === undefined) return Object.keys(others).length === 0 ? undefined : others;
  // In its old place, so that the text does not jump while a value is typed.
  return isRecord(node) ? { ...node, [key]: inner } : { [key]: inner };
}

/** RFC 6901, into the body of a request: `/recipe/models/0`. */
export function pointerOf(path: Path): string {
  return ['recipe', ...path].map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** Is it written in mergekit's language? The service reads it, the form does not. */
export function isForeign(draft: Draft): boolean {
  return 'merge_method' in draft;
}

/** Parts of a recipe that only its text has. */
export function beyondForm(draft: Draft): string[] {
  const shown = new Set(['method', 'base', 'models', 'parameters', 'modifiers', 'out_dtype', 'tasks']);
  return Object.keys(draft).filter((key) => !shown.has(key));
}

/** Places of a list, which are all that tells its items apart: the same model may stand in it twice while somebody edits. */
export function placesOf(list: readonly unknown[]): number[] {
  return list.map((_, place) => place);
}
