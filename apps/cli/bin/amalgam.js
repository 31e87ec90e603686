#!/usr/bin/env node
// npm links this file, which is there before the build; what it starts is not.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../dist/main.js', import.meta.url);
if (existsSync(fileURLToPath(main))) {
  await import(main.href);
} else {
  console.error('amalgam: not built yet: npm run build');
  process.exitCode = 1;
}
