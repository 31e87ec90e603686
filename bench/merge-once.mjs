// One measured run in a process of its own, so that its peak memory is its own: node merge-once.mjs '{"kind":…}'
import { closeSync, mkdirSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const { kind, folders, out, method, parameters, threads } = JSON.parse(process.argv[2]);
const files = folders.map((folder) => join(folder, 'model.safetensors'));
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const started = performance.now();
if (kind === 'copy') {
  const buffer = Buffer.allocUnsafe(8 << 20);
  files.forEach((file, i) => {
    const from = openSync(file, 'r');
    const to = i === 0 ? openSync(join(out, 'model.safetensors'), 'w') : null;
    for (;;) {
      const length = readSync(from, buffer);
      if (length === 0) break;
      if (to !== null) writeSync(to, buffer, 0, length);
    }
    closeSync(from);
    if (to !== null) closeSync(to);
  });
} else {
  const { describeCheckpoint, localFolder } = await import('@amalgam/tensors');
  const { executeMerge, planMerge } = await import('@amalgam/engine');
  const inputs = await Promise.all(
    folders.map(async (folder, i) => ({
      reference: folder,
      identity: folder,
      name: `m${i}`,
      checkpoint: await describeCheckpoint(localFolder(folder)),
    })),
  );
  const [base, ...models] = inputs;
  const recipe = {
    method,
    base: base.reference,
    models: models.map(({ reference }) => ({ model: reference })),
    parameters,
  };
  const plan = planMerge(recipe, { base, models }, { threads });
  await executeMerge(plan, { outDir: out, digests: false, pathOf: (i, file) => join(folders[i], file) });
}
const seconds = (performance.now() - started) / 1000;
console.log(JSON.stringify({ seconds, rss: process.resourceUsage().maxRSS * 1024 }));
rmSync(out, { recursive: true, force: true });
