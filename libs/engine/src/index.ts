export { type ArtifactOptions, type RecipeFile, writeArtifacts } from './artifacts.js';
export { type ExecuteOptions, type ExecuteResult, executeMerge } from './execute.js';
export { DEFAULT_MEMORY_BYTES } from './memory.js';
export { describePlan, planMerge } from './plan.js';
export type { TensorStatistics } from './report.js';
export { shortName } from './short-name.js';
export type { MergePlan, ModelInput, PlanOptions, WrittenFile } from './types.js';
