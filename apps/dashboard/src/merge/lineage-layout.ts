/** A thing in the lineage of a merge. */
export interface LineageNode {
  id: string;
  /** What it is to its neighbours: `base`, `model`, `result`. */
  role: string;
  name: string;
  href: string;
}

export interface Placed extends LineageNode {
  left: number;
  top: number;
}

export interface LineageLayout {
  nodes: Placed[];
  /** Curves from column to column, as SVG paths. */
  lines: { id: string; path: string }[];
  width: number;
  height: number;
}

export const NODE = { width: 210, height: 48 };
const GAP = { across: 70, down: 10 };

/** Columns from left to right, each in the middle; everything of a column leads to everything of the next, of which one has a single thing. */
export function layOutLineage(columns: readonly (readonly LineageNode[])[]): LineageLayout {
  const shown = columns.filter((column) => column.length > 0);
  const tall = (count: number) => count * NODE.height + (count - 1) * GAP.down;
  const height = Math.max(...shown.map(({ length }) => tall(length)));
  const placed = shown.map((column, i) => {
    const top = (height - tall(column.length)) / 2;
    return column.map((node, k) => ({
      ...node,
      left: i * (NODE.width + GAP.across),
      top: top + k * (NODE.height + GAP.down),
    }));
  });
  const lines = placed.slice(1).flatMap((column, i) =>
    (placed[i] ?? []).flatMap((from) =>
      column.map((to) => {
        const x1 = from.left + NODE.width;
        const y1 = from.top + NODE.height / 2;
        const y2 = to.top + NODE.height / 2;
        const middle = (x1 + to.left) / 2;
        return {
          id: `${from.id} ${to.id} ${from.role}`,
          path: `M${x1},${y1}C${middle},${y1} ${middle},${y2} ${to.left},${y2}`,
        };
      }),
    ),
  );
  return {
    nodes: placed.flat(),
    lines,
    width: shown.length * (NODE.width + GAP.across) - GAP.across,
    height,
  };
}
