import { copyFile, link, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Recipe } from '@amalgam/contracts';
import type { AssetRow } from '@amalgam/database';
import type { DatasetInput, TaskInput } from '@amalgam/runtime';
import type { CachedFile, FolderView } from '@amalgam/storage';
import type { DatasetJob, FileJob, TaskJob } from '@amalgam/tuning';
import type { WorkerContext } from '../context.js';
import { openVerified } from './inputs.js';

/** A recipe's tasks with their graphs and datasets on this machine, until `release`. */
export interface LocalTasks {
  jobs: TaskJob[];
  /** Whether all is still what was registered. @throws AmalgamError `checkpoint_changed` */
  verify(): Promise<void>;
  release(): Promise<void>;
}

/** Rows of the graphs and datasets that coefficients are learned from, as the recipe names them. */
export function learnedFrom(tasks: readonly TaskInput[]): AssetRow[] {
  return tasks.flatMap(({ graph, data }) => [graph.row, ...(data === null ? [] : [data.row])]);
}

/**
 * Verifies the tasks' files and brings what is remote to this machine. A graph's files lie side by side under their own
 * names, in `folder` when they do not do so already: the runtime looks for external data there.
 *
 * @throws AmalgamError `checkpoint_changed` naming the file; what opening and fetching throw
 */
export async function fetchTasks(
  context: WorkerContext,
  tasks: readonly TaskInput[],
  recipe: Recipe,
  folder: string,
  signal: AbortSignal,
): Promise<LocalTasks> {
  const held: CachedFile[] = [];
  const release = async () => {
    for (const file of held) await file.release();
  };
  const open = (row: AssetRow) => openVerified(context, row, pathsOf(row));
  const acquire = async (view: FolderView, path: string): Promise<string> => {
    const file = await context.cache.acquire(view, path, { signal });
    held.push(file);
    return file.path;
  };
  const dataset = async (input: DatasetInput | null): Promise<DatasetJob | null> => {
    if (input === null) return null;
    const { row, description } = input;
    return { name: row.name, path: await acquire(await open(row), description.file), description };
  };
  const graph = async ({ row, description }: TaskInput['graph']): Promise<FileJob> => {
    const view = await open(row);
    const paths = pathsOf(row);
    const direct = view.localPath(description.file);
    if (direct !== null && paths.every((path) => view.localPath(path) !== null))
      return { name: row.name, path: direct };
    const place = join(folder, 'graphs', row.id);
    for (const path of paths) await putBeside(await acquire(view, path), join(place, path));
    return { name: row.name, path: join(place, description.file) };
  };
  try {
    const jobs: TaskJob[] = [];
    const graphs = new Map<string, FileJob>();
    for (const { task, graph: own, data, evaluation } of tasks) {
      const placed = graphs.get(own.row.id) ?? (await graph(own));
      graphs.set(own.row.id, placed);
      jobs.push({
        name: task.name,
        model: recipe.models.findIndex(({ model }) => model === task.model),
        graph: placed,
        data: await dataset(data),
        evaluation: await dataset(evaluation),
        logits: task.logits,
        mask: task.mask,
      });
    }
    const verify = async () => {
      for (const { graph: own, data, evaluation } of tasks) {
        for (const row of [own.row, data?.row, evaluation?.row]) if (row !== undefined) await open(row);
      }
    };
    return { jobs, verify, release };
  } catch (error) {
    await release();
    throw error;
  }
}

function pathsOf(row: AssetRow): string[] {
  return row.files.map(({ path }) => path);
}

/** A second name for a file: the runtime follows no symbolic links out of a graph's folder. */
async function putBeside(file: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await link(file, path).catch(() => copyFile(file, path));
}
