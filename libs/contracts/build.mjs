// Puts typebox into dist/schema.js, in the place of the import that tsc has written; without it all works as well, and starts slower.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';

const file = fileURLToPath(new URL('dist/schema.js', import.meta.url));

if (readFileSync(file, 'utf8').includes("from 'typebox'")) {
  await build({ input: file, platform: 'node', logLevel: 'warn', output: { file, format: 'esm' } });
}
