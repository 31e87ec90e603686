import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { AmalgamError, isAmalgamError, quoteList, type Recipe, type RecipeTask } from '@amalgam/contracts';
import { listInputs, type MergePlan, type ModelInput, shortName } from '@amalgam/engine';
import { describeGraph, type GraphDescription, type ModelProto, readOutline } from '@amalgam/onnx';
import {
  type DatasetDescription,
  describeCheckpoint,
  describeDataset,
  localFileFolder,
  localFolder,
  type ReadableFolder,
} from '@amalgam/tensors';
import { checkTaskData } from '@amalgam/tuning';
import { hubUriOf, isHubInput } from './hub-input.js';

/** A checkpoint: a folder on this machine, one safetensors file, or a model of the hub. */
export interface LocalInput extends ModelInput {
  folder: ReadableFolder;
  /** Where it lies on this machine, without symbolic links; null: it lies on the hub. */
  path: string | null;
  /** Of the hub's, once they are fetched. */
  pathOf(file: string): string;
}

/** A graph on this machine: one .onnx file, beside which its external data lies. */
export interface LocalGraph {
  /** As the recipe names it. */
  reference: string;
  path: string;
  description: GraphDescription;
}

/** A dataset on this machine: one .safetensors or .npz file. */
export interface LocalDataset {
  reference: string;
  path: string;
  description: DatasetDescription;
}

export interface LocalTask {
  task: RecipeTask;
  graph: LocalGraph;
  data: LocalDataset | null;
  evaluation: LocalDataset | null;
}

/**
 * A checkpoint by its reference: a path that starts from `folder`, or a model of the hub.
 *
 * @throws AmalgamError as `openLocal` and `openHubInput` say
 */
export async function openCheckpoint(reference: string, folder: string, name?: string): Promise<LocalInput> {
  const uri = await hubUriOf(reference, folder);
  if (uri === null) return openLocal(resolve(folder, reference), reference, name);
  // Loaded here, so that merges of local files start without stores.
  const { openHubInput } = await import('./open-hub-input.js');
  return openHubInput(uri, reference, name);
}

/** @throws AmalgamError `not_found`, `invalid_checkpoint`, `unsafe_format`, each naming the path */
async function openLocal(path: string, reference: string, name?: string): Promise<LocalInput> {
  const { real, isFile } = await locate(path, reference);
  const folder = isFile ? localFileFolder(real, reference) : localFolder(real, reference);
  const checkpoint = await describeCheckpoint(folder);
  return {
    reference,
    identity: real,
    name: name ?? shortName(basename(real, isFile ? extname(real) : undefined)),
    checkpoint,
    folder,
    path: real,
    pathOf: (file) => (isFile ? real : join(real, file)),
  };
}

/**
 * One .onnx file, or a folder with one. The model comes along, its large weights unread.
 *
 * @throws AmalgamError `not_found`, `invalid_graph`, `unsupported_graph`, each naming the path
 */
export async function openLocalGraph(path: string, reference = path): Promise<LocalGraph & { model: ModelProto }> {
  const { isFile } = await locate(path, reference);
  // Not the real path: external data lies beside the name that was given.
  const file = isFile ? resolve(path) : join(resolve(path), await onlyGraph(path, reference));
  const model = await readOutline(file, { name: reference });
  return { reference, path: file, description: describeGraph(model, reference), model };
}

/** @throws AmalgamError `not_found`, `invalid_dataset`, `unsafe_format`, each naming the path */
export async function openLocalDataset(path: string, reference = path): Promise<LocalDataset> {
  const { real, isFile } = await locate(path, reference);
  const description = await describeDataset(isFile ? localFileFolder(real, reference) : localFolder(real, reference));
  return { reference, path: isFile ? real : join(real, description.file), description };
}

/**
 * What a recipe from a file names, whose references are paths or models of the hub. `all`: checkpoints in the engine's order. What
 * comes several times is opened once, so a branch of the hub is one commit. `notes` are for who runs the merge.
 */
export async function openRecipeInputs(recipe: Recipe, folder: string) {
  const opened = once((reference) => openCheckpoint(reference, folder));
  const open = async (reference: string, pointer: string, name?: string): Promise<LocalInput> => {
    const input = await opened(reference).catch((error: unknown) => {
      throw at(pointer, error);
    });
    return name === undefined ? input : { ...input, name };
  };
  const base = recipe.base === undefined ? null : await open(recipe.base, '/base');
  const models: LocalInput[] = [];
  const adapters: (LocalInput | null)[] = [];
  for (const [i, { model, adapter, name }] of recipe.models.entries()) {
    models.push(await open(model, `/models/${i}/model`, name));
    adapters.push(adapter === undefined ? null : await open(adapter, `/models/${i}/adapter`));
  }

  const graphs = once(async (reference) => {
    const { model: _, ...graph } = await openLocalGraph(resolve(folder, reference), reference);
    return graph;
  });
  const datasets = once((reference) => openLocalDataset(resolve(folder, reference), reference));
  const tasks: LocalTask[] = [];
  for (const task of recipe.tasks ?? []) {
    tasks.push({
      task,
      graph: await graphs(task.graph),
      data: task.data === undefined ? null : await datasets(task.data),
      evaluation: task.evaluation === undefined ? null : await datasets(task.evaluation),
    });
  }
  const all = listInputs<LocalInput>({ base, models, adapters });
  const notes = new Set(all.filter(isHubInput).flatMap(({ note }) => note ?? []));
  return { base, models, adapters, all, tasks, notes: [...notes] };
}

/** Whether every task fits its graph and data, from headers alone; adds to the plan's warnings. @throws AmalgamError as `checkTaskData` */
export function checkLocalTasks(tasks: readonly LocalTask[], plan: Pick<MergePlan, 'tuning' | 'warnings'>): void {
  const described = tasks.map(({ task, graph, data, evaluation }) => ({
    task,
    graph: graph.description,
    data: data?.description ?? null,
    evaluation: evaluation?.description ?? null,
  }));
  plan.warnings.push(...checkTaskData(described, plan.tuning?.settings.batchSize ?? null));
}

/** The error, which names no field yet, as one about what the recipe has there. */
function at(pointer: string, error: unknown): unknown {
  if (!isAmalgamError(error) || error.errors.length > 0) return error;
  return new AmalgamError(error.code, error.detail, { errors: [{ pointer, detail: error.detail }], cause: error });
}

async function locate(path: string, reference: string): Promise<{ real: string; isFile: boolean }> {
  const real = await realpath(path).catch(() => {
    throw new AmalgamError('not_found', `${reference}: there is no such file or folder`);
  });
  return { real, isFile: (await stat(real)).isFile() };
}

async function onlyGraph(folder: string, reference: string): Promise<string> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.onnx')).sort();
  const [only] = names;
  if (only !== undefined && names.length === 1) return only;
  const has = only === undefined ? 'no .onnx file' : quoteList(names);
  throw new AmalgamError('invalid_graph', `${reference}: has ${has}; a graph is one .onnx file`);
}

function once<T>(open: (reference: string) => Promise<T>): (reference: string) => Promise<T> {
  const opened = new Map<string, Promise<T>>();
  return (reference) => {
    const known = opened.get(reference) ?? open(reference);
    opened.set(reference, known);
    return known;
  };
}
