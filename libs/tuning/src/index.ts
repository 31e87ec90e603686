export { checkTask, type TaskCheck, type TaskCheckOptions } from './check-task.js';
export { checkTaskData, type DescribedTask } from './check-task-data.js';
export { completeReport, type LearnedAndJudged } from './complete-report.js';
export type { DatasetJob, FileJob, TaskJob, TuningState } from './jobs.js';
export { digestLearned } from './learned-from.js';
export {
  type ChosenProvider,
  chooseProvider,
  PROVIDERS,
  type Provider,
  type ProviderLog,
  type TriedProvider,
} from './providers.js';
export type { ProbeOptions } from './providers-probe.js';
export { providerEnvironment, type SessionSettings, sessionOptions } from './providers-session.js';
export { type EvaluateOptions, evaluateMerge, type TunedMerge, type TuneOptions, tuneMerge } from './tune.js';
