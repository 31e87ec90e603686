import { basename, dirname, join } from 'node:path';
import { isAmalgamError } from '@amalgam/contracts';
import { describeNode, type Graph, graphFiles, graphOf, obstacle, requireOpset } from '@amalgam/onnx';
import { type Inspected, inspectFile, showFiles, showShape } from './inspected.js';
import { openLocalGraph } from './local-input.js';
import { showTable } from './show.js';

/** What stands against learning coefficients through a graph, or against rewriting it. */
interface Obstacle {
  /** The node; null for the graph as a whole. */
  node: string | null;
  why: string;
}

/** Enough to see what kind of node it is. */
const SHOWN_OBSTACLES = 10;

/** Inputs, outputs, operators, and what is in the way. */
export async function inspectGraph(path: string, digests: boolean): Promise<Inspected> {
  const { path: file, description, model } = await openLocalGraph(path);
  const { opset, producer, inputs, outputs, nodes, initializers, parameters, operators } = description;
  const unsupported = obstaclesOf(graphOf(model, path));
  const folder = dirname(file);
  const files = [await inspectFile(file, basename(file), digests)];
  for (const { location } of graphFiles(model, path)) {
    files.push(await inspectFile(join(folder, location), location, digests));
  }
  const values = [
    ...inputs.map(({ name, dtype, shape }) => ['input', name, dtype, showShape(shape)]),
    ...outputs.map(({ name, dtype, shape }) => ['output', name, dtype, showShape(shape)]),
  ];
  const counts = Object.entries(operators).map(([operator, count]) => `${count} ${operator}`);
  return {
    data: { kind: 'graph', ...description, files, unsupported },
    text: [
      showTable(['', 'name', 'dtype', 'shape'], values),
      `\noperators: ${counts.join(', ')}`,
      `graph: opset ${opset ?? 'unknown'}${producer === '' ? '' : `, made by ${producer}`}; ${nodes} nodes, ` +
        `${initializers} initializers, ${parameters.toLocaleString('en')} parameters`,
      ...showObstacles(unsupported),
      ...showFiles(files),
    ].join('\n'),
  };
}

function obstaclesOf(graph: Graph): Obstacle[] {
  const found: Obstacle[] = [];
  try {
    requireOpset(graph);
  } catch (error) {
    if (!isAmalgamError(error)) throw error;
    found.push({ node: null, why: error.detail });
  }
  for (const node of graph.nodes()) {
    const why = obstacle(graph, node);
    if (why !== null) found.push({ node: describeNode(node), why });
  }
  return found;
}

function showObstacles(obstacles: readonly Obstacle[]): string[] {
  if (obstacles.length === 0) return ['every operator can be read and rewritten'];
  const lines = obstacles
    .slice(0, SHOWN_OBSTACLES)
    .map(({ node, why }) => `  ${node === null ? why : `${node} ${why}`}`);
  const more = obstacles.length - lines.length;
  return ['cannot be learned through, when it lies between weights and logits:', ...lines].concat(
    more > 0 ? [`  and ${more} more`] : [],
  );
}
