import { withoutGradient } from '@amalgam/autodiff';
import { AmalgamError, type FieldError, joinDetails, quote, quoteList, type RecipeTask } from '@amalgam/contracts';
import { type GraphDescription, MINIMUM_OPSET } from '@amalgam/onnx';
import type { DatasetDescription } from '@amalgam/tensors';
import { checkTask } from './check-task.js';

/** A recipe's task with the headers of what it names. */
export interface DescribedTask {
  task: RecipeTask;
  graph: GraphDescription;
  data: DatasetDescription | null;
  evaluation: DatasetDescription | null;
}

/**
 * Checks all tasks of a recipe from headers alone: for tuned methods, which feed `batch` rows at once, that each can be
 * learned from; and that the result can be judged by each, with `evaluation` or else with `data`. `batch` is null for methods
 * that learn nothing. Returns warnings: operators without a gradient that seem to lie between weights and logits. Which of the
 * initializers are learned, and types, show only when the graph is bound, so that the job itself has the last word.
 *
 * @throws AmalgamError with every problem and its pointer into the recipe: `invalid_graph` or `invalid_dataset` when all are of
 * that kind, `unsupported_graph` for an opset without gradients or graphs of several opsets, else `invalid_recipe`.
 */
export function checkTaskData(tasks: readonly DescribedTask[], batch: number | null): string[] {
  if (batch !== null) {
    const old = tasks.flatMap(tooOld);
    if (old.length > 0) throw refusal('unsupported_graph', old);
    const apart = differentOpsets(tasks);
    if (apart.length > 0) throw refusal('unsupported_graph', apart);
  }
  const errors = new Map<string, FieldError>();
  for (const [i, { task, graph, data, evaluation }] of tasks.entries()) {
    const pointer = `/tasks/${i}`;
    const checks = [];
    if (batch !== null && data !== null) {
      checks.push(checkTask(task, graph, data, { pointer, batch, labels: 'unused' }));
    }
    const judged = evaluation ?? data;
    if (judged !== null) checks.push(checkTask(task, graph, judged, { pointer, batch: null, labels: 'optional' }));
    // What is wrong with the graph is found with each dataset.
    for (const error of checks.flatMap((check) => check.errors)) errors.set(`${error.pointer} ${error.detail}`, error);
  }
  if (errors.size > 0) throw refuseTask([...errors.values()]);
  return batch === null ? [] : tasks.flatMap(missingGradients);
}

function missingGradients({ task, graph }: DescribedTask): string[] {
  const outputs = Object.keys(graph.onPath ?? {});
  const logits = task.logits ?? (outputs.length === 1 ? outputs[0]! : 'logits');
  const missing = withoutGradient(graph.onPath?.[logits] ?? []);
  if (missing.length === 0) return [];
  const operators = `${quoteList(missing)} of opset ${graph.opset}`;
  return [
    `task ${quote(task.name)}, graph ${quote(task.graph)}: no gradient is known here of ${operators}, between weights and logits; ` +
      'where a learned weight goes through, the merge fails before its first step',
  ];
}

/** `invalid_graph` or `invalid_dataset` when all errors are of that kind, else `invalid_recipe`. */
export function refuseTask(errors: FieldError[]): AmalgamError {
  const about = (fields: RegExp) => errors.every(({ pointer }) => fields.test(pointer));
  if (about(/\/graph$/)) return refusal('invalid_graph', errors);
  return refusal(about(/\/(data|evaluation)$/) ? 'invalid_dataset' : 'invalid_recipe', errors);
}

function tooOld({ task, graph }: DescribedTask, i: number): FieldError[] {
  if (graph.opset !== null && graph.opset >= MINIMUM_OPSET) return [];
  const has = graph.opset === null ? 'does not import the standard operators' : `has opset ${graph.opset}`;
  const detail = `task ${quote(task.name)}, graph ${quote(task.graph)}: it ${has}; learning needs opset ${MINIMUM_OPSET} or later`;
  return [{ pointer: `/tasks/${i}/graph`, detail: `${detail} (opset_version of torch.onnx.export)` }];
}

/** All graphs become one, which has one opset. */
function differentOpsets(tasks: readonly DescribedTask[]): FieldError[] {
  const [first] = tasks;
  return tasks.flatMap(({ task, graph }, i) => {
    if (first === undefined || graph.opset === first.graph.opset) return [];
    const has = `it has opset ${graph.opset}, that of task ${quote(first.task.name)} ${first.graph.opset}`;
    const detail = `task ${quote(task.name)}, graph ${quote(task.graph)}: ${has}; export all graphs with one opset`;
    return [{ pointer: `/tasks/${i}/graph`, detail: `${detail} (opset_version of torch.onnx.export)` }];
  });
}

function refusal(
  code: 'invalid_graph' | 'invalid_dataset' | 'invalid_recipe' | 'unsupported_graph',
  errors: FieldError[],
): AmalgamError {
  return new AmalgamError(code, joinDetails(errors.map(({ detail }) => detail)), { errors });
}
