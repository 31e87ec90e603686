import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { AmalgamError, quoteList, type Recipe, type RecipeTask } from '@amalgam/contracts';
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

/** A checkpoint on this machine: a folder, or one safetensors file. */
export interface LocalInput extends ModelInput {
  folder: ReadableFolder;
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

/** @throws AmalgamError `not_found`, `invalid_checkpoint`, `unsafe_format`, each naming the path */
export async function openLocal(path: string, reference = path, name?: string): Promise<LocalInput> {
  const { real, isFile } = await locate(path, reference);
  const folder = isFile ? localFileFolder(real, reference) : localFolder(real, reference);
  const checkpoint = await describeCheckpoint(folder);
  return {
    reference,
    identity: real,
    name: name ?? shortName(basename(real, isFile ? extname(real) : undefined)),
    checkpoint,
    folder,
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
 * What a recipe from a file names, whose references are paths. `all`: checkpoints in the engine's order. A path that
 * comes several times is opened once.
 */
export async function openRecipeInputs(recipe: Recipe, folder: string) {
  const open = (reference: string, name?: string) => openLocal(resolve(folder, reference), reference, name);
  const base = recipe.base === undefined ? null : await open(recipe.base);
  const models: LocalInput[] = [];
  const adapters: (LocalInput | null)[] = [];
  for (const { model, adapter, name } of recipe.models) {
    models.push(await open(model, name));
    adapters.push(adapter === undefined ? null : await open(adapter));
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
  return { base, models, adapters, all, tasks };
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

async function locate(path: string, reference: string): Promise<{ real: string; isFile: boolean }> {
  const real = await realpath(path).catch(() => {
    throw new AmalgamError('not_found', `${reference}: there is no such file or folder${hubHint(reference)}`);
  });
  return { real, isFile: (await stat(real)).isFile() };
}

/** mergekit's recipes name models of the Hugging Face hub like this: org/name, with or without a revision. */
function hubHint(reference: string): string {
  const isName = /^(hf:\/\/)?[\w-][\w.-]*\/[\w-][\w.-]*(@.*)?$/.test(reference);
  return isName ? '; models are not fetched from the Hugging Face hub: download it, and name its folder' : '';
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
