import { join } from 'node:path';
import {
  ADAPTER_FILE,
  type AdapterPlan,
  type ModuleReport,
  planAdapterMerge,
  planExtraction,
  writeAdapter,
} from '@amalgam/adapters';
import {
  AmalgamError,
  dtypeBytes,
  type FieldError,
  joinDetails,
  OUT_DTYPES,
  type Recipe,
  type Report,
} from '@amalgam/contracts';
import type { AdapterSettings, ResolvedRecipe } from '@amalgam/methods';
import { compileGlobs } from '@amalgam/tensors';
import type { ExecuteOptions, ExecuteResult } from './execute.js';
import { refuseQuantised } from './quantised.js';
import { buildReport, newStatistics } from './report.js';
import type { MergePlan, ModelInput, PlanOptions } from './types.js';

/** Merges whose result is a LoRA adapter: what of a plan is theirs. libs/adapters does the work. */

/** Parts of a recipe that mean nothing for an adapter. */
const MODELS_ONLY = ['slices', 'modules', 'tokenizer', 'chat_template', 'modifiers', 'tasks', 'shard_bytes'] as const;

/**
 * Plans a merge whose method makes an adapter.
 *
 * @throws AmalgamError `invalid_recipe`, and what `planAdapterMerge` and `planExtraction` say
 */
export function planAdapterResult(
  { method, settings, recipe }: ResolvedRecipe,
  work: AdapterSettings,
  { base, models }: { base: ModelInput | null; models: ModelInput[] },
  options: PlanOptions,
): MergePlan {
  refuseModelParts(recipe, work, method.name);
  const adapter = planWork(recipe, work, { base, models }, options);
  const { header, bytes } = adapter.layout;
  const tensors = 2 * adapter.modules.length + adapter.whole.length;
  return {
    recipe,
    settings: [settings],
    inputs: base === null ? models : [base, ...models],
    hasBase: base !== null,
    merged: [],
    copied: [],
    heads: [],
    masks: [],
    files: [{ path: ADAPTER_FILE, header, bytes, tensors }],
    donor: 0,
    configChanges: {},
    tokens: null,
    chunkElements: 0,
    threads: adapter.threads,
    memoryBytes: adapter.memoryBytes,
    bytesRead: adapter.bytesRead,
    bytesWritten: bytes,
    tuning: null,
    adapter,
    warnings: adapter.warnings,
  };
}

function planWork(
  recipe: Recipe,
  work: AdapterSettings,
  { base, models }: { base: ModelInput | null; models: ModelInput[] },
  options: PlanOptions,
): AdapterPlan {
  const dtype = recipe.out_dtype === undefined ? 'F32' : OUT_DTYPES[recipe.out_dtype];
  if (work.kind === 'merge') return planAdapterMerge(models, { ...work, dtype }, options);
  const [model] = models;
  if (base === null || model === undefined) throw new TypeError('extraction takes a base and a model');
  for (const [input, pointer] of [
    [base, '/base'],
    [model, '/models/0/model'],
  ] as const) {
    if (input.checkpoint.kind !== 'adapter') continue;
    const detail = `"${input.reference}" is a LoRA adapter; what is extracted is the difference of two full models`;
    throw new AmalgamError('invalid_recipe', detail, { errors: [{ pointer, detail }] });
  }
  const { include = [], exclude = [] } = recipe.merge ?? {};
  refuseQuantised({ base, models: [model] }, compileGlobs(include, exclude));
  return planExtraction({ base, model }, { ...work, include, exclude, dtype }, options);
}

function refuseModelParts(recipe: Recipe, work: AdapterSettings, method: string): void {
  const given: string[] = MODELS_ONLY.filter((key) => recipe[key] !== undefined);
  if (work.kind === 'merge' && recipe.merge !== undefined) given.push('merge');
  const errors: FieldError[] = given.map((key) => {
    return { pointer: `/${key}`, detail: `${key} means nothing for ${method}, whose result is an adapter` };
  });
  recipe.models.forEach(({ adapter }, i) => {
    if (adapter === undefined) return;
    errors.push({ pointer: `/models/${i}/adapter`, detail: `${method} takes models or adapters by themselves` });
  });
  if (errors.length > 0) {
    throw new AmalgamError('invalid_recipe', joinDetails(errors.map((error) => error.detail)), { errors });
  }
}

/** How many tensors and elements a planned adapter has, as a plan shows them. */
export function countAdapter({ modules, whole, layout, dtype }: AdapterPlan): { merged: number; parameters: number } {
  const saved = whole.reduce((sum, { from }) => sum + from.bytes, 0);
  const factors = layout.bytes - layout.header.length - saved;
  return { merged: 2 * modules.length, parameters: factors / dtypeBytes(dtype) };
}

/**
 * Writes a planned adapter. It is one file that takes little time, so nothing of an earlier attempt is used again.
 *
 * @throws AmalgamError as `writeAdapter`
 */
export async function executeAdapter(
  plan: MergePlan,
  adapter: AdapterPlan,
  options: ExecuteOptions,
): Promise<ExecuteResult> {
  const started = performance.now();
  const written = await writeAdapter(adapter, {
    path: join(options.outDir, ADAPTER_FILE),
    pathOf: options.pathOf,
    digests: options.digests !== false,
    digestFiles: (options.digestInputs ?? []).map(({ input, file }) => options.pathOf(input, file)),
    ...(options.signal !== undefined && { signal: options.signal }),
    ...(options.onProgress !== undefined && { onProgress: options.onProgress }),
  });
  const file = { path: ADAPTER_FILE, bytes: written.bytes, sha256: written.sha256 };
  await options.onFile?.(file, []);
  const report = buildReport(plan, newStatistics());
  report.adapter = describeModules(written.modules);
  report.copied = adapter.whole.map(({ name }) => name);
  report.seconds['total'] = (performance.now() - started) / 1000;
  return { files: [file], report, inputDigests: written.digests };
}

/** Over all modules, what is kept of their squared norms, where these are known. */
function describeModules(modules: readonly ModuleReport[]): NonNullable<Report['adapter']> {
  let total = 0;
  let kept = 0;
  for (const module of modules) {
    if (module.squares === null || module.kept === null) continue;
    total += module.squares;
    kept += module.squares * module.kept;
  }
  return {
    ...(total > 0 && { kept: kept / total }),
    modules: modules.map((module) => ({
      name: module.module,
      rank: module.rank,
      ...(module.kept !== null && { kept: module.kept }),
      ...(module.squares !== null && { norm: Math.sqrt(module.squares) }),
    })),
  };
}
