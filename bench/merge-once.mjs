// One measured run in a process of its own, so that its peak memory is its own: node merge-once.mjs '{"kind":…}'. The first folder is
// the base where `hasBase`; the output stays. Prints seconds, peak resident memory, seconds of the processor, and by stage.
import { closeSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const { kind, folders, out, hasBase, method, parameters, threads } = JSON.parse(process.argv[2]);
const files = folders.map((folder) => join(folder, 'model.safetensors'));
mkdirSync(out, { recursive: true });

const started = performance.now();
const stages = kind === 'copy' ? copyOne() : await merge();
const seconds = (performance.now() - started) / 1000;
const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
console.log(JSON.stringify({ seconds, rss: maxRSS * 1024, cpu: (userCPUTime + systemCPUTime) / 1e6, stages }));

/** Reads all files and writes the first. */
function copyOne() {
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
  return {};
}

async function merge() {
  const { describeCheckpoint, localFolder } = await import('@amalgam/tensors');
  const { executeMerge, planMerge, prepareThreads } = await import('@amalgam/engine');
  // As the command line does.
  prepareThreads(threads);
  const inputs = await Promise.all(
    folders.map(async (folder, i) => ({
      reference: folder,
      identity: folder,
      name: `m${i}`,
      checkpoint: await describeCheckpoint(localFolder(folder)),
    })),
  );
  const base = hasBase ? inputs[0] : null;
  const models = hasBase ? inputs.slice(1) : inputs;
  const recipe = {
    method,
    ...(base === null ? {} : { base: base.reference }),
    models: models.map(({ reference }) => ({ model: reference })),
    parameters,
  };
  const plan = planMerge(recipe, { base, models }, { threads });
  const { report } = await executeMerge(plan, {
    outDir: out,
    digests: false,
    pathOf: (i, file) => join(folders[i], file),
  });
  return report.seconds;
}
