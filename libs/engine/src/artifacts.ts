import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ADAPTER_CONFIG_FILE } from '@amalgam/adapters';
import { fromPlain, isNoSpace, type Recipe, type Report, toPlain } from '@amalgam/contracts';
import type { ReadableFolder } from '@amalgam/tensors';
import type { ExecuteResult } from './execute.js';
import { modelCard } from './model-card.js';
import { resultConfig } from './result-config.js';
import type { MergePlan, WrittenFile } from './types.js';

/** Side files of a model that its result needs to load; whatever else lies beside the weights is not ours to spread. */
const SIDE_FILES =
  /^(config\.json|generation_config\.json|preprocessor_config\.json|processor_config\.json|tokenizer.*\.(json|model)|vocab.*\.(json|txt)|merges\.txt|special_tokens_map\.json|added_tokens\.json|chat_template\.(json|jinja)|[A-Za-z0-9_-]+\.model|spiece\.model)$/;
const LARGEST_SIDE_FILE = 256 * 2 ** 20;

export interface ArtifactOptions {
  /** The folder that executeMerge wrote to. */
  outDir: string;
  /** The files of `plan.inputs[plan.donor]`. */
  donor: ReadableFolder;
  /** SHA-256 of an input's file, null where nobody computed it. */
  digestOf(input: number, file: string): string | null;
  /** What the result is called in its model card. */
  name?: string;
}

/** recipe.json: enough to make the same bytes again. */
export interface RecipeFile {
  recipe: Recipe;
  inputs: { reference: string; name: string; files: { path: string; bytes: number; sha256: string | null }[] }[];
}

/**
 * Writes what a result has besides weights: the shard index, config and tokenizer of the base with dtype kept true,
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
  else await copySideFiles(plan, options.donor, put);
  const recipe: RecipeFile = { recipe: plan.recipe, inputs };
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

async function copySideFiles(
  plan: MergePlan,
  donor: ReadableFolder,
  put: (path: string, content: string | Uint8Array) => Promise<void>,
): Promise<void> {
  const { checkpoint, reference } = plan.inputs[plan.donor]!;
  for (const path of checkpoint.sideFiles) {
    const bytes = checkpoint.files.find((file) => file.path === path)?.bytes ?? 0;
    if (!SIDE_FILES.test(path) || bytes > LARGEST_SIDE_FILE) continue;
    const source = donor.source(path);
    try {
      const content = await source.read(0, bytes);
      if (path === 'config.json') await put(path, resultConfig(content, plan, `${reference}/${path}`));
      else await put(path, content);
    } finally {
      await source.close?.();
    }
  }
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
