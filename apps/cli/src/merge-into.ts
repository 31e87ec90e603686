import { randomBytes } from 'node:crypto';
import { mkdir, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { describePlan, prepareThreads, writeArtifacts } from '@amalgam/engine';
import type { Provider } from '@amalgam/tuning';
import { fetchInputs } from './fetch-inputs.js';
import type { LocalTask } from './local-input.js';
import { mergeLocally } from './local-merge.js';
import type { LocalPlan } from './local-plan.js';
import { barProgress, jsonProgress } from './merge-progress.js';
import { showBytes, showPlan, showTable } from './show.js';
import { showAdapter, showCoefficients, showTasks } from './show-scores.js';

export interface MergeOptions {
  out: string;
  threads?: number;
  device: 'auto' | Provider;
  evaluation: boolean;
  digests: boolean;
  force?: boolean;
  json?: boolean;
}

/**
 * Plans and merges on this machine, tells how far it is and what it has made. The folder appears when all is there. `recipeFiles`
 * are files that the plan is made from besides its inputs.
 */
export async function mergeInto(
  makePlan: () => Promise<LocalPlan>,
  recipeFiles: readonly string[],
  options: MergeOptions,
): Promise<void> {
  // A link to a folder stays; what it points to is replaced.
  const out = await realpath(options.out).catch(() => resolve(options.out));
  await refuseToOverwrite(out, options);
  prepareThreads(options.threads);
  const { plan, inputs } = await makePlan();
  await refuseToReplaceInputs(out, [
    ...recipeFiles,
    ...inputs.all.flatMap((input) => input.path ?? []),
    ...taskFiles(inputs.tasks),
  ]);
  const progress = options.json ? jsonProgress() : barProgress();
  if (!options.json) console.error(showPlan(describePlan(plan)));

  const abort = new AbortController();
  const cancel = () => abort.abort();
  process.once('SIGINT', cancel).once('SIGTERM', cancel);
  // Beside the result, so that the last step is a rename: nobody ever sees half a model.
  const mark = randomBytes(4).toString('hex');
  const beside = (what: string) => join(dirname(out), `.${basename(out)}.${what}-${mark}`);
  const scratch = beside('partial');
  await makeFolders(scratch).catch((error: NodeJS.ErrnoException) => {
    throw new AmalgamError('invalid_request', `--out ${out}: ${error.message}`);
  });
  let fetched: { release(): Promise<void> } | null = null;
  try {
    fetched = await fetchInputs(inputs.all, {
      signal: abort.signal,
      onProgress: (done, total) => progress.bytes('fetching', done, total),
    });
    const { result, digestOf, learned } = await mergeLocally(plan, inputs, {
      outDir: scratch,
      workDir: beside('tuning'),
      device: options.device,
      threads: options.threads,
      evaluation: options.evaluation,
      digests: options.digests,
      signal: abort.signal,
      progress,
    });
    progress.stop();
    const others = await writeArtifacts(plan, result, {
      outDir: scratch,
      folderOf: (input) => inputs.all[input]!.folder,
      digestOf,
      ...(learned !== undefined && { learned }),
      name: basename(out),
    });
    await publish(scratch, out, options.force === true);
    const files = [...result.files, ...others];
    if (options.json) {
      console.log(JSON.stringify({ event: 'done', out, files, report: result.report }));
    } else {
      const rows = files.map((file) => [file.path, showBytes(file.bytes), file.sha256 ?? '–']);
      console.log(showTable(['file', 'size', 'sha256'], rows));
      const { adapter, coefficients, tasks } = result.report;
      if (adapter !== undefined) console.log(`\n${showAdapter(adapter)}`);
      if (coefficients !== undefined) console.log(`\n${showCoefficients(coefficients)}`);
      if (tasks !== undefined) console.log(`\n${showTasks(tasks)}`);
      console.log(`\n${out}: done in ${result.report.seconds['total']!.toFixed(2)} s`);
    }
  } finally {
    progress.stop();
    process.off('SIGINT', cancel).off('SIGTERM', cancel);
    await fetched?.release();
    await rm(scratch, { recursive: true, force: true });
  }
}

function taskFiles(tasks: readonly LocalTask[]): string[] {
  const files = tasks.flatMap(({ graph, data, evaluation }) => [graph.path, data?.path, evaluation?.path]);
  return files.filter((file) => file !== undefined);
}

async function refuseToOverwrite(out: string, { force }: Pick<MergeOptions, 'force'>): Promise<void> {
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
