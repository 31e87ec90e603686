import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Recipe } from '@amalgam/contracts';
import { type MergePlan, type ModelInput, type PlanOptions, planMerge } from '@amalgam/engine';
import { describeCheckpoint, describeDataset, localFileFolder } from '@amalgam/tensors';
import type { TaskJob } from '../../src/jobs.js';

export const ZOO = fileURLToPath(new URL('../../../../examples/zoo/vit6/', import.meta.url));

export interface ZooSetting {
  steps: number;
  batch: number;
  lr: number;
  init: number;
  clamp: [number, number];
  grad0: number[][];
  coefficients: number[][];
  loss: number[];
}

export interface ZooReference {
  tasks: string[];
  merged_tensors: string[];
  accuracy: Record<string, number[]>;
  reference: Record<string, ZooSetting>;
}

export const reference = JSON.parse(readFileSync(`${ZOO}reference.json`, 'utf8')) as ZooReference;

export async function openInput(path: string): Promise<ModelInput> {
  const checkpoint = await describeCheckpoint(localFileFolder(path));
  return { reference: path, identity: path, name: basename(path, '.safetensors'), checkpoint };
}

export async function datasetOf(path: string) {
  return { name: basename(path), path, description: await describeDataset(localFileFolder(path)) };
}

/** A planned merge with its tasks, as `tuneMerge` takes it. */
export interface Merge {
  plan: MergePlan;
  tasks: TaskJob[];
  pathOf(input: number): string;
}

export interface ZooOptions extends PlanOptions {
  /** The models: tasks of the zoo. Default: all six. */
  names?: string[];
  /** The tasks. Default: one for each model, with the graph of the newer exporter. */
  tasks?: { name: string; model?: string; folder?: 'legacy/' }[];
  merge?: Recipe['merge'];
  /** False: no base. */
  base?: boolean;
}

/** A merge of the zoo's models. */
export async function zooMerge(
  method: string,
  parameters: Record<string, unknown>,
  { names = reference.tasks, tasks = names.map((name) => ({ name })), merge, base = true, ...options }: ZooOptions = {},
): Promise<Merge> {
  const recipe: Recipe = {
    method,
    ...(base && { base: `${ZOO}base.safetensors` }),
    models: names.map((name) => ({ model: `${ZOO}${name}.safetensors` })),
    parameters,
    ...(merge !== undefined && { merge }),
    tasks: tasks.map(({ name, model = name, folder = '' }) => ({
      name,
      model: `${ZOO}${model}.safetensors`,
      graph: `${ZOO}${folder}${name}.onnx`,
      data: `${ZOO}${name}.unlabeled.safetensors`,
      evaluation: `${ZOO}${name}.labeled.safetensors`,
    })),
  };
  return openMerge(recipe, options);
}

/** Plans a recipe whose references are paths. */
export async function openMerge(recipe: Recipe, options: PlanOptions = {}): Promise<Merge> {
  const base = recipe.base === undefined ? null : await openInput(recipe.base);
  const models = await Promise.all(recipe.models.map(({ model }) => openInput(model)));
  const plan = planMerge(recipe, { base, models }, { threads: 1, ...options });
  const tasks = await Promise.all(
    (recipe.tasks ?? []).map(
      async ({ name, model, graph, data, evaluation, logits, mask }): Promise<TaskJob> => ({
        name,
        model: recipe.models.findIndex((entry) => entry.model === model),
        graph: { name: basename(graph), path: graph },
        data: data === undefined ? null : await datasetOf(data),
        evaluation: evaluation === undefined ? null : await datasetOf(evaluation),
        logits,
        mask,
      }),
    ),
  );
  return { plan, tasks, pathOf: (input) => plan.inputs[input]!.reference };
}

/**
 * The published trim keeps an entry more than the density says: PyTorch's run kept the 38 689 largest of the zoo's 193 440, where
 * density 0.2 keeps 38 688 here. So that both learn from the same task vectors, the half keeps rounding out of it.
 */
const PUBLISHED_DENSITY = 38_689.5 / 193_440;

/** A reference's settings as parameters of adamerging. */
export function parametersOf(name: string): { setting: ZooSetting; parameters: Record<string, unknown> } {
  const setting = reference.reference[name]!;
  const parameters = {
    granularity: name.endsWith('_layer') ? 'layer' : 'task',
    sign_resolve: name.includes('_pp_'),
    density: PUBLISHED_DENSITY,
    init: setting.init,
    clamp: setting.clamp,
    steps: setting.steps,
    batch_size: setting.batch,
    learning_rate: setting.lr,
    sampling: 'sequential',
  };
  return { setting, parameters };
}
