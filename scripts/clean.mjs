// Removes everything that `npm run build` makes.
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const packages = ['libs', 'apps'].flatMap((parent) =>
  readdirSync(join(root, parent)).map((name) => join(parent, name)),
);
const made = [
  ...packages.map((folder) => join(folder, 'dist')),
  'libs/kernels/wasm',
  'libs/database/src/generated',
  'coverage',
];
for (const folder of made) rmSync(join(root, folder), { recursive: true, force: true });
