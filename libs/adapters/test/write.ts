import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_FILE,
  type AdapterPlan,
  type WriteAdapterOptions,
  writeAdapter,
} from '../src/index.js';
import { type Opened, open, tempDir } from './support.js';

/** Writes a planned adapter as PEFT keeps one, and reads it back. */
export async function write(plan: AdapterPlan, inputs: Opened[], options: Partial<WriteAdapterOptions> = {}) {
  const dir = tempDir();
  const written = await writeAdapter(plan, {
    path: join(dir, ADAPTER_FILE),
    pathOf: (input, file) => {
      const { path } = inputs[input]!;
      return path.endsWith('.safetensors') ? path : join(path, file);
    },
    ...options,
  });
  await writeFile(join(dir, ADAPTER_CONFIG_FILE), JSON.stringify(plan.config));
  return { ...written, adapter: await open(dir) };
}
