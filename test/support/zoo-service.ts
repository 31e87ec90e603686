import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@amalgam/client';
import type { Recipe } from '@amalgam/contracts';

export const ZOO = fileURLToPath(new URL('../../examples/zoo/vit6/', import.meta.url));

/** Uploads models, graphs and datasets of the zoo; returns a recipe over them, with a task for each model. */
export async function uploadZoo(
  client: Client,
  names: readonly string[],
  recipe: Pick<Recipe, 'method' | 'parameters'>,
): Promise<Recipe> {
  const files = (file: string) => [{ path: file, file: join(ZOO, file) }];
  const model = async (name: string) =>
    (await client.checkpoints.upload({ name, files: files(`${name}.safetensors`) })).id;
  const dataset = async (name: string) =>
    (await client.datasets.upload({ name, files: files(`${name}.safetensors`) })).id;
  const tasks: NonNullable<Recipe['tasks']> = [];
  for (const name of names) {
    tasks.push({
      name,
      model: await model(name),
      graph: (await client.graphs.upload({ name, files: files(`${name}.onnx`) })).id,
      data: await dataset(`${name}.unlabeled`),
      evaluation: await dataset(`${name}.labeled`),
    });
  }
  return { ...recipe, base: await model('base'), models: tasks.map((task) => ({ model: task.model })), tasks };
}
