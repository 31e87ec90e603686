import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client, UploadOptions } from '@amalgam/client';
import type { RecipeTask } from '@amalgam/contracts';

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));
const TASKS = ['digits', 'shapes', 'segments', 'location', 'quadpair', 'blobs'];

/** The example zoo as the service knows it: ids of the base and the fine-tuned models, and a task for each model. */
export interface DemoZoo {
  base: string;
  models: string[];
  tasks: RecipeTask[];
}

interface Uploads {
  upload(options: UploadOptions): Promise<{ id: string }>;
}

/** Uploads checkpoints, graphs and datasets through the API. */
export async function uploadZoo(client: Client): Promise<DemoZoo> {
  const upload = (to: Uploads, name: string, file: string) =>
    to.upload({ name, files: [{ path: file, file: join(ZOO, file) }] }).then(({ id }) => id);
  const uploadTask = async (name: string): Promise<RecipeTask> => {
    const [model, graph, data, evaluation] = await Promise.all([
      upload(client.checkpoints, name, `${name}.safetensors`),
      upload(client.graphs, name, `${name}.onnx`),
      upload(client.datasets, `${name} without labels`, `${name}.unlabeled.safetensors`),
      upload(client.datasets, `${name} with labels`, `${name}.labeled.safetensors`),
    ]);
    return { name, model, graph, data, evaluation };
  };
  const base = await upload(client.checkpoints, 'base', 'base.safetensors');
  const tasks = await Promise.all(TASKS.map(uploadTask));
  return { base, models: tasks.map(({ model }) => model), tasks };
}
