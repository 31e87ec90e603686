import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Recipe } from '@amalgam/contracts';
import { type ModelInput, type PlanOptions, planMerge } from '@amalgam/engine';
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

/** A merge of the zoo's six models, with its tasks. */
export async function zooMerge(
  method: string,
  parameters: Record<string, unknown>,
  { folder = '', names = reference.tasks, ...options }: { folder?: string; names?: string[] } & PlanOptions = {},
) {
  const recipe: Recipe = {
    method,
    base: `${ZOO}base.safetensors`,
    models: names.map((name) => ({ model: `${ZOO}${name}.safetensors` })),
    parameters,
    tasks: names.map((name) => ({
      name,
      model: `${ZOO}${name}.safetensors`,
      graph: `${ZOO}${folder}${name}.onnx`,
      data: `${ZOO}${name}.unlabeled.safetensors`,
      evaluation: `${ZOO}${name}.labeled.safetensors`,
    })),
  };
  const base = await openInput(recipe.base!);
  const models = await Promise.all(recipe.models.map(({ model }) => openInput(model)));
  const plan = planMerge(recipe, { base, models }, { threads: 1, ...options });
  const tasks: TaskJob[] = await Promise.all(
    recipe.tasks!.map(async (task, model) => ({
      name: task.name,
      model,
      graph: { name: basename(task.graph), path: task.graph },
      data: await datasetOf(task.data!),
      evaluation: await datasetOf(task.evaluation!),
    })),
  );
  const pathOf = (input: number) => plan.inputs[input]!.reference;
  return { plan, tasks, pathOf };
}

/** A reference's settings as parameters of adamerging. */
export function parametersOf(name: string): { setting: ZooSetting; parameters: Record<string, unknown> } {
  const setting = reference.reference[name]!;
  const parameters = {
    granularity: name.endsWith('_layer') ? 'layer' : 'task',
    sign_resolve: name.includes('_pp_'),
    init: setting.init,
    clamp: setting.clamp,
    steps: setting.steps,
    batch_size: setting.batch,
    learning_rate: setting.lr,
    sampling: 'sequential',
  };
  return { setting, parameters };
}
