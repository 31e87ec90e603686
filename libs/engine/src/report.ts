import type { Modifier, Report, TensorReport } from '@amalgam/contracts';
import { reducePairwise } from '@amalgam/kernels';
import { getMethod, isOverVectors } from '@amalgam/methods';
import type { MergedTensor, MergePlan } from './types.js';

/** What the merging pass learned of one tensor. Plain data: a finished shard's go to the database for a later attempt. */
export interface TensorStatistics {
  name: string;
  elements: number;
  /** By model of the tensor: sums of squares of the task vector, chunk by chunk. */
  squares: number[][];
  /** By model: entries that stay when the task vector is sparsified; null for methods that keep all. */
  kept: number[] | null;
  conflicts: number;
}

/** By model: the sum of squares of the task vector, over a fixed tree. */
export function squaresOf(tensor: TensorStatistics): number[] {
  return tensor.squares.map((chunks) => reducePairwise(chunks));
}

export interface MergeStatistics {
  seconds: Record<string, number>;
  thresholds: number[] | null;
  /** By the recipe's models: what goes with their masks. */
  rescalers: number[] | null;
  /** The recipe's modifier, with what was to be found resolved. */
  modifier: Modifier | null;
  tensors: Map<string, TensorStatistics>;
  add(tensors: TensorStatistics[]): void;
}

export function newStatistics(): MergeStatistics {
  const tensors = new Map<string, TensorStatistics>();
  return {
    seconds: {},
    thresholds: null,
    rescalers: null,
    modifier: null,
    tensors,
    add: (more) => {
      for (const tensor of more) tensors.set(tensor.name, tensor);
    },
  };
}

/** What report.json says. Norms are sums over a fixed tree, so they do not depend on threads or chunks. */
export function buildReport(plan: MergePlan, statistics: MergeStatistics): Report {
  const ordered = plan.merged.flatMap((tensor) => {
    const own = statistics.tensors.get(tensor.name);
    if (own === undefined) return [];
    return [{ ...own, columns: tensor.columns, settings: tensor.settings, squares: measured(plan, tensor, own) }];
  });
  const first = plan.hasBase ? 1 : 0;
  const elements = ordered.reduce((sum, tensor) => sum + tensor.elements, 0);
  const method = getMethod(plan.recipe.method);
  const elects = plan.settings.some((settings) => method.electsSigns?.(settings) ?? false);
  const share = (count: number, of = elements) => (of === 0 ? 0 : count / of);

  return {
    method: plan.recipe.method,
    inputs: plan.inputs.map((input, i) => {
      const model = i - first;
      const report: Report['inputs'][number] = {
        role: model < 0 ? 'base' : model < plan.recipe.models.length ? 'model' : 'adapter',
        name: input.name,
        files: input.checkpoint.files.map(({ path, bytes }) => ({ path, bytes, sha256: null })),
      };
      const given = plan.recipe.models[model];
      if (given === undefined) return report;
      report.parameters = given.parameters ?? {};
      const own = ordered.flatMap((tensor) =>
        tensor.columns.flatMap((column, place) => (column === model ? [{ tensor, place }] : [])),
      );
      const squares = own.flatMap(({ tensor, place }) => tensor.squares[place] ?? []);
      if (squares.length > 0) report.norm = Math.sqrt(reducePairwise(squares));
      const threshold = statistics.thresholds?.[model];
      if (threshold !== undefined) report.threshold = threshold;
      const rescaler = statistics.rescalers?.[model];
      if (rescaler !== undefined) report.rescaler = rescaler;
      const trimmed = own.filter(({ tensor }) => tensor.kept !== null);
      if (trimmed.length > 0) {
        const entries = trimmed.reduce((sum, { tensor }) => sum + tensor.elements, 0);
        const kept = trimmed.reduce((sum, { tensor, place }) => sum + tensor.kept![place]!, 0);
        report.trimmed = share(entries - kept, entries);
      }
      return report;
    }),
    parameters: plan.recipe.parameters ?? {},
    ...(statistics.modifier === null ? {} : { modifiers: [statistics.modifier] }),
    seconds: statistics.seconds,
    bytes_read: plan.bytesRead + (plan.tuning?.bytesRead ?? 0),
    bytes_written: plan.bytesWritten,
    peak_rss_bytes: process.resourceUsage().maxRSS * 1024,
    ...(elects ? { sign_conflicts: share(ordered.reduce((sum, t) => sum + t.conflicts, 0)) } : {}),
    tensors: ordered.map((tensor) => ({
      ...describeTensor(tensor, tensor.squares, elects),
      ...describeOwn(plan, tensor),
    })),
    copied: plan.copied.map((tensor) => tensor.name),
    warnings: plan.warnings,
  };
}

/** Sums of squares by the tensor's models. Only task vectors have norms that say something; values have none. */
function measured(plan: MergePlan, { base }: MergedTensor, statistics: TensorStatistics): number[] {
  return isOverVectors(getMethod(plan.recipe.method), base !== null) ? squaresOf(statistics) : [];
}

/** What is not the same for all tensors: which models are merged, and with which parameters. */
function describeOwn(
  { recipe, settings }: MergePlan,
  tensor: Pick<MergedTensor, 'columns' | 'settings'>,
): Partial<TensorReport> {
  const { columns } = tensor;
  const isWhole = columns.length === recipe.models.length && columns.every((column, place) => column === place);
  const own = settings[tensor.settings]!;
  return {
    ...(isWhole ? {} : { models: columns }),
    ...(settings.length === 1 ? {} : { parameters: own.global, model_parameters: own.models }),
  };
}

function describeTensor(tensor: Omit<TensorStatistics, 'squares'>, squares: number[], elects: boolean): TensorReport {
  const share = (count: number) => (tensor.elements === 0 ? 0 : count / tensor.elements);
  const report: TensorReport = {
    name: tensor.name,
    elements: tensor.elements,
    norms: squares.map((sum) => Math.sqrt(sum)),
  };
  if (tensor.kept !== null) {
    report.trimmed = tensor.kept.map((count) => (tensor.elements === 0 ? 0 : 1 - share(count)));
  }
  if (elects) report.sign_conflicts = share(tensor.conflicts);
  return report;
}
