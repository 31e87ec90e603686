import { randomBytes } from 'node:crypto';
import { mkdir, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { describePlan, executeMerge, planMerge, writeArtifacts } from '@amalgam/engine';
import { Presets, SingleBar } from 'cli-progress';
import { Command } from 'commander';
import { openRecipeInputs } from '../local-input.js';
import { parseBytes, parseCount } from '../options.js';
import { readRecipe } from '../recipe-file.js';
import { showBytes, showPlan, showTable } from '../show.js';

interface Options {
  out: string;
  threads?: number;
  memory?: number;
  digests: boolean;
  force?: boolean;
  json?: boolean;
}

export function mergeCommand(): Command {
  return new Command('merge')
    .description('Merge here and now, from local files to a local folder, without any service')
    .argument('<recipe>', 'YAML or JSON file; paths in it start from its folder')
    .requiredOption('--out <dir>', 'folder for the result; it appears when the merge is complete')
    .option('--threads <n>', 'default: one per core, as far as --memory allows', parseCount)
    .option('--memory <bytes>', 'bound on resident memory, as 512MB', parseBytes)
    .option('--no-digests', 'leave out the SHA-256 of inputs and outputs')
    .option('--force', 'replace what is in the folder')
    .option('--json', 'progress and result as JSON lines')
    .action(merge);
}

async function merge(path: string, options: Options): Promise<void> {
  // A link to a folder stays; what it points to is replaced.
  const out = await realpath(options.out).catch(() => resolve(options.out));
  await refuseToOverwrite(out, options);
  const { recipe, folder } = await readRecipe(path);
  const inputs = await openRecipeInputs(recipe, folder);
  await refuseToReplaceInputs(out, [path, ...inputs.all.map((input) => input.identity)]);
  const plan = planMerge(recipe, inputs, {
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    ...(options.memory === undefined ? {} : { memoryBytes: options.memory }),
  });
  const progress = options.json ? jsonProgress() : barProgress();
  if (!options.json) console.error(showPlan(describePlan(plan)));

  const abort = new AbortController();
  const cancel = () => abort.abort();
  process.once('SIGINT', cancel).once('SIGTERM', cancel);
  // Beside the result, so that the last step is a rename: nobody ever sees half a model.
  const scratch = join(dirname(out), `.${basename(out)}.partial-${randomBytes(4).toString('hex')}`);
  await makeFolders(scratch).catch((error: NodeJS.ErrnoException) => {
    throw new AmalgamError('invalid_request', `--out ${out}: ${error.message}`);
  });
  try {
    const digestInputs = options.digests
      ? inputs.all.flatMap(({ checkpoint }, input) => checkpoint.weightFiles.map((file) => ({ input, file })))
      : [];
    const result = await executeMerge(plan, {
      pathOf: (input, file) => inputs.all[input]!.pathOf(file),
      outDir: scratch,
      digests: options.digests,
      digestInputs,
      signal: abort.signal,
      onProgress: progress.update,
    });
    progress.stop();
    const digests = new Map(digestInputs.map(({ input, file }, i) => [`${input}/${file}`, result.inputDigests[i]!]));
    const others = await writeArtifacts(plan, result, {
      outDir: scratch,
      donor: inputs.all[plan.donor]!.folder,
      digestOf: (input, file) => digests.get(`${input}/${file}`) ?? null,
      name: basename(out),
    });
    await publish(scratch, out, options.force === true);
    const files = [...result.files, ...others];
    if (options.json) {
      console.log(JSON.stringify({ event: 'done', out, files, report: result.report }));
    } else {
      const rows = files.map((file) => [file.path, showBytes(file.bytes), file.sha256 ?? '–']);
      console.log(showTable(['file', 'size', 'sha256'], rows));
      console.log(`\n${out}: done in ${result.report.seconds['total']!.toFixed(2)} s`);
    }
  } finally {
    progress.stop();
    process.off('SIGINT', cancel).off('SIGTERM', cancel);
    await rm(scratch, { recursive: true, force: true });
  }
}

async function refuseToOverwrite(out: string, { force }: Options): Promise<void> {
  const entries = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new AmalgamError(
      'invalid_request',
      `--out ${out}: ${error.code === 'ENOTDIR' ? 'is not a folder' : error.message}`,
    );
  });
  if (entries.length > 0 && !force) {
    throw new AmalgamError('invalid_request', `--out ${out}: the folder is not empty; --force replaces it`);
  }
}

/** `--force` removes what the folder holds, which must not be what the merge is made from. */
async function refuseToReplaceInputs(out: string, sources: string[]): Promise<void> {
  for (const source of sources) {
    const inside = relative(out, await realpath(source));
    if (inside !== '..' && !inside.startsWith(`..${sep}`) && !isAbsolute(inside)) {
      throw new AmalgamError('invalid_request', `--out ${out}: holds ${source}, which the merge reads`);
    }
  }
}

/**
 * A folder and its parents. Node's recursive mkdir never ends where a folder that is there answers ENOENT, as /proc does.
 */
async function makeFolders(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const parent = dirname(path);
    const parentIsThere = await stat(parent).then(
      () => true,
      () => false,
    );
    if (code !== 'ENOENT' || parentIsThere) throw error;
    await makeFolders(parent);
    await mkdir(path);
  }
}

async function publish(scratch: string, out: string, force: boolean): Promise<void> {
  await rmdir(out).catch(() => {}); // an empty folder makes way
  if (!force) {
    await rename(scratch, out);
    return;
  }
  const aside = `${scratch}.old`;
  const moved = await rename(out, aside).then(
    () => true,
    () => false,
  );
  await rename(scratch, out);
  if (moved) await rm(aside, { recursive: true, force: true });
}

function barProgress() {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const bar = new SingleBar(
    {
      format: 'merging {bar} {percentage}% | {done} of {size} | {eta_formatted} left',
      stream: process.stderr,
      hideCursor: true,
    },
    Presets.shades_classic,
  );
  let started = false;
  return {
    update: (done: number, total: number) => {
      if (!started) bar.start(total, 0, { done: '', size: '' });
      started = true;
      bar.update(done, { done: showBytes(done), size: showBytes(total) });
    },
    stop: () => bar.stop(),
  };
}

function jsonProgress() {
  return {
    update: (done: number, total: number) => {
      console.log(JSON.stringify({ event: 'progress', bytes_done: done, bytes_total: total }));
    },
    stop: () => {},
  };
}
