import type { Report, TensorReport } from '@amalgam/contracts';
import { reducePairwise } from '@amalgam/kernels';
import { getMethod, isOverVectors } from '@amalgam/methods';
import type { MergePlan } from './types.js';

/** What the merging pass learned of one tensor. Plain data: a finished shard's go to the database for a later attempt. */
export interface TensorStatistics {
  name: string;
  elements: number;
  /** By model: sums of squares of the task vector, chunk by chunk. */
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
  tensors: Map<string, TensorStatistics>;
  add(tensors: TensorStatistics[]): void;
}

export function newStatistics(): MergeStatistics {
  const tensors = new Map<string, TensorStatistics>();
  return {
    seconds: {},
    thresholds: null,
    tensors,
    add: (more) => {
      for (const tensor of more) tensors.set(tensor.name, tensor);
    },
  };
}

/** What report.json says. Norms are sums over a fixed tree, so they do not depend on threads or chunks. */
export function buildReport(plan: MergePlan, statistics: MergeStatistics): Report {
  const ordered = plan.merged.flatMap((tensor) => statistics.tensors.get(tensor.name) ?? []);
  const first = plan.hasBase ? 1 : 0;
  const elements = ordered.reduce((sum, tensor) => sum + tensor.elements, 0);
  const method = getMethod(plan.recipe.method);
  const elects = method.electsSigns?.(plan.settings) ?? false;
  const trims = ordered.some((tensor) => tensor.kept !== null);
  // Only task vectors have norms that say something; a method over weights has none.
  const measures = isOverVectors(method, plan.hasBase);
  const squares = ordered.map((tensor) => (measures ? squaresOf(tensor) : []));
  const share = (count: number) => (elements === 0 ? 0 : count / elements);

  return {
    method: plan.recipe.method,
    inputs: plan.inputs.map((input, i) => {
      const model = i - first;
      const report: Report['inputs'][number] = {
        role: model < 0 ? 'base' : 'model',
        name: input.name,
        files: input.checkpoint.files.map(({ path, bytes }) => ({ path, bytes, sha256: null })),
      };
      if (model < 0) return report;
      report.parameters = plan.settings.models[model]!;
      if (squares.some((list) => list[model] !== undefined)) {
        report.norm = Math.sqrt(reducePairwise(squares.map((list) => list[model] ?? 0)));
      }
      if (statistics.thresholds !== null) report.threshold = statistics.thresholds[model]!;
      if (trims) {
        const kept = ordered.reduce((sum, tensor) => sum + (tensor.kept?.[model] ?? 0), 0);
        report.trimmed = share(elements - kept);
      }
      return report;
    }),
    parameters: plan.settings.global,
    seconds: statistics.seconds,
    bytes_read: plan.bytesRead + (plan.tuning?.bytesRead ?? 0),
    bytes_written: plan.bytesWritten,
    peak_rss_bytes: process.resourceUsage().maxRSS * 1024,
    ...(elects ? { sign_conflicts: share(ordered.reduce((sum, t) => sum + t.conflicts, 0)) } : {}),
    tensors: ordered.map((tensor, i) => describeTensor(tensor, squares[i]!, elects)),
    copied: plan.copied.map((tensor) => tensor.name),
    warnings: plan.warnings,
  };
}

function describeTensor(tensor: TensorStatistics, squares: number[], elects: boolean): TensorReport {
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
