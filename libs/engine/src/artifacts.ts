import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ADAPTER_CONFIG_FILE } from '@amalgam/adapters';
import { type AssetFile, fromPlain, isNoSpace, type Recipe, type Report, toPlain } from '@amalgam/contracts';
import type { ReadableFolder } from '@amalgam/tensors';
import type { ExecuteResult } from './execute.js';
import { modelCard } from './model-card.js';
import { writeSideFiles } from './side-files.js';
import type { MergePlan, WrittenFile } from './types.js';

export interface ArtifactOptions {
  /** The folder that executeMerge wrote to. */
  outDir: string;
  /** The files of one of `plan.inputs`; the base's are read, or those of the model whose tokenizer the result gets. */
  folderOf(input: number): ReadableFolder;
  /** SHA-256 of an input's file, null where nobody computed it. */
  digestOf(input: number, file: string): string | null;
  /** For methods that learn coefficients: what they were learned from. */
  learned?: readonly LearnedFrom[];
  /** What the result is called in its model card. */
  name?: string;
}

/** A task that coefficients were learned from, with its files by digest: a graph and what lies beside it, and a dataset. */
export interface LearnedFrom {
  task: string;
  graph: AssetFile[];
  data: AssetFile[];
}

/** recipe.json: enough to make the same bytes again. */
export interface RecipeFile {
  recipe: Recipe;
  tasks?: readonly LearnedFrom[];
  inputs: { reference: string; name: string; files: { path: string; bytes: number; sha256: string | null }[] }[];
}

/**
 * Writes what a result has besides weights: the shard index, config and tokenizer of the base, true of the result,
 * recipe.json, report.json and a model card. Digests are put into the report. Returns the files written.
 *
 * @throws AmalgamError `storage_full`; `invalid_checkpoint` when the donor's config.json is not a JSON object
 */
export async function writeArtifacts(
  plan: MergePlan,
  result: ExecuteResult,
  options: ArtifactOptions,
): Promise<WrittenFile[]> {
  const inputs = plan.inputs.map((input, i) => ({
    reference: input.reference,
    name: input.name,
    files: input.checkpoint.weightFiles.map((path) => ({
      path,
      bytes: input.checkpoint.files.find((file) => file.path === path)?.bytes ?? 0,
      sha256: options.digestOf(i, path),
    })),
  }));
  const report: Report = {
    ...result.report,
    inputs: result.report.inputs.map((input, i) => ({ ...input, files: inputs[i]!.files })),
  };
  result.report = report;

  const written: WrittenFile[] = [];
  const put = async (path: string, content: string | Uint8Array) => {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const target = join(options.outDir, path);
    try {
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, bytes);
    } catch (error) {
      throw isNoSpace(error) ? fromPlain(toPlain(error)) : error;
    }
    written.push({ path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
  };

  const shards = plan.files.filter((file) => !/^(heads|masks)\//.test(file.path));
  if (shards.length > 1) await put('model.safetensors.index.json', json(shardIndex(plan)));
  if (plan.adapter !== null) await put(ADAPTER_CONFIG_FILE, json(plan.adapter.config));
  else await writeSideFiles(plan, options.folderOf, put);
  const { learned } = options;
  const recipe: RecipeFile = { recipe: plan.recipe, inputs, ...(learned !== undefined && { tasks: learned }) };
  await put('recipe.json', json(recipe));
  await put('report.json', json(report));
  await put('README.md', modelCard(plan, report, options.name));
  return written;
}

function shardIndex(plan: MergePlan) {
  const tensors = [...plan.merged, ...plan.copied].sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    metadata: { total_size: tensors.reduce((sum, tensor) => sum + tensor.bytes, 0) },
    weight_map: Object.fromEntries(tensors.map((tensor) => [tensor.name, plan.files[tensor.file]!.path])),
  };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
