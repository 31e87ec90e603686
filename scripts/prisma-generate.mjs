// Generates the Prisma client into libs/database/src/generated; does nothing when it is newer than the schema.
//
// `prisma generate` needs no engine, yet the CLI downloads one first and fails on a closed network. A stub that
// exits non-zero stands in for it, in this child process only: with a stub that *succeeds*, commands that do need the
// engine (migrate deploy, db push) would report success and do nothing.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const generated = join(root, 'libs/database/src/generated/client.ts');
const sources = [
  'prisma/schema.prisma',
  'prisma.config.ts',
  'scripts/prisma-generate.mjs',
  'node_modules/prisma/package.json',
];

function isFresh() {
  if (process.argv.includes('--force') || !existsSync(generated)) return false;
  const made = statSync(generated).mtimeMs;
  return sources.every((file) => statSync(join(root, file)).mtimeMs < made);
}

function generate() {
  const folder = mkdtempSync(join(tmpdir(), 'amalgam-prisma-'));
  try {
    const stub = join(folder, 'schema-engine');
    writeFileSync(stub, '#!/bin/sh\necho "no schema engine here: see scripts/prisma-generate.mjs" >&2\nexit 1\n');
    chmodSync(stub, 0o755);
    const cli = join(dirname(createRequire(import.meta.url).resolve('prisma/package.json')), 'build/index.js');
    return spawnSync(process.execPath, [cli, 'generate', '--no-hints'], {
      cwd: root,
      encoding: 'utf8',
      env: {
        ...process.env,
        PRISMA_SCHEMA_ENGINE_BINARY: stub,
        CHECKPOINT_DISABLE: '1',
        PRISMA_HIDE_UPDATE_MESSAGE: '1',
      },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (!isFresh()) {
  const { status, stdout, stderr, error } = generate();
  if (status !== 0) {
    process.stderr.write(`${stdout ?? ''}${stderr ?? ''}${error ? `${error.message}\n` : ''}`);
    process.stderr.write('prisma generate failed\n');
    process.exitCode = 1;
  }
}
