/** A place in several recipes. */
export interface Difference {
  /** `models.1.parameters.density`. */
  path: string;
  /** By recipe; undefined where it has nothing there. */
  values: (string | number | boolean | null | undefined)[];
  same: boolean;
}

type Leaf = string | number | boolean | null;

/** What several recipes have at each of their places, in the order of the first that has it. */
export function compareRecipes(recipes: readonly unknown[]): Difference[] {
  const leaves = recipes.map((recipe) => new Map(leavesOf(recipe, '')));
  const paths = new Set(leaves.flatMap((map) => [...map.keys()]));
  return [...paths].map((path) => {
    const values = leaves.map((map) => map.get(path));
    return { path, values, same: new Set(values.map((value) => JSON.stringify(value))).size === 1 };
  });
}

/** Lists of plain numbers stay whole: a gradient is one value. */
function leavesOf(value: unknown, path: string): [string, Leaf][] {
  if (typeof value !== 'object' || value === null) return [[path, value as Leaf]];
  if (Array.isArray(value) && value.every((item) => typeof item === 'number')) return [[path, value.join(', ')]];
  // An empty object says no more than none.
  return Object.entries(value).flatMap(([key, item]) => leavesOf(item, path === '' ? key : `${path}.${key}`));
}
