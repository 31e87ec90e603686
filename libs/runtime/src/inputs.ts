import {
  AmalgamError,
  ASSET_KINDS,
  type AssetKind,
  type ErrorCode,
  type FieldError,
  ID_PREFIXES,
  type InputRole,
  isId,
  joinDetails,
  type Recipe,
  type RecipeTask,
} from '@amalgam/contracts';
import type { AssetRow, MergeInputRef } from '@amalgam/database';
import { type ModelInput, shortName } from '@amalgam/engine';
import { hubRepository } from '@amalgam/storage';
import { type CheckpointDescription, checkpointFromInventory, type DatasetDescription } from '@amalgam/tensors';
import type { StoredGraph } from './graph-files.js';
import type { Parts } from './parts.js';

/** What a recipe names, by its references: the checkpoints as the engine wants them, the tasks with their data. */
export interface RecipeInputs {
  base: ModelInput | null;
  models: ModelInput[];
  /** Of each model the adapter that is applied to it. */
  adapters: (ModelInput | null)[];
  /** Checkpoints, in the engine's order: the base when there is one, then the models, then the adapters. */
  rows: AssetRow[];
  /** In the recipe's order. */
  tasks: TaskInput[];
  /** Everything that the merge reads. */
  refs: MergeInputRef[];
}

export interface TaskInput {
  task: RecipeTask;
  graph: { row: AssetRow; description: StoredGraph };
  data: DatasetInput | null;
  evaluation: DatasetInput | null;
}

export interface DatasetInput {
  row: AssetRow;
  description: DatasetDescription;
}

interface Reference {
  pointer: string;
  /** The id. */
  reference: string;
  kind: AssetKind;
  role: InputRole;
  name?: string | undefined;
}

type Found = Reference & { row: AssetRow };

/**
 * Finds what a recipe names by id; tensors and headers come from the database, so no file is opened. The database is always
 * asked whether they are there and ready; tensors that are known already are not read again.
 *
 * @throws AmalgamError `not_found`, or a kind's `…_not_ready`, with a pointer for each reference.
 */
export async function findInputs(
  parts: Pick<Parts, 'database' | 'descriptions'>,
  projectId: string,
  recipe: Recipe,
): Promise<RecipeInputs> {
  const found = await find(parts, projectId, referencesOf(recipe));
  const checkpoints = found.filter(({ kind }) => kind === 'checkpoint');
  const inputs = await Promise.all(checkpoints.map((item) => toModelInput(parts, projectId, item)));
  const byPointer = new Map(found.map((item) => [item.pointer, item]));
  const inputAt = new Map(checkpoints.map(({ pointer }, i) => [pointer, inputs[i]!]));
  return {
    base: inputAt.get('/base') ?? null,
    models: recipe.models.flatMap((_, i) => inputAt.get(`/models/${i}/model`) ?? []),
    adapters: recipe.models.map((_, i) => inputAt.get(`/models/${i}/adapter`) ?? null),
    rows: checkpoints.map(({ row }) => row),
    tasks: (recipe.tasks ?? []).flatMap((task, i) => toTaskInput(task, `/tasks/${i}`, byPointer)),
    refs: found.map(({ row, role }) => ({ assetId: row.id, role })),
  };
}

/** In the order in which the merge keeps its inputs. A task's model is among the models. */
function referencesOf(recipe: Recipe): Reference[] {
  const references: Reference[] = recipe.models.map(({ model, name }, i) => ({
    pointer: `/models/${i}/model`,
    reference: model,
    kind: 'checkpoint',
    role: 'model',
    name,
  }));
  if (recipe.base !== undefined) {
    references.unshift({ pointer: '/base', reference: recipe.base, kind: 'checkpoint', role: 'base' });
  }
  for (const [i, { adapter }] of recipe.models.entries()) {
    if (adapter === undefined) continue;
    references.push({ pointer: `/models/${i}/adapter`, reference: adapter, kind: 'checkpoint', role: 'adapter' });
  }
  for (const [i, task] of (recipe.tasks ?? []).entries()) {
    const at = `/tasks/${i}`;
    references.push({ pointer: `${at}/graph`, reference: task.graph, kind: 'graph', role: 'graph' });
    for (const role of ['data', 'evaluation'] as const) {
      const reference = task[role];
      if (reference !== undefined) references.push({ pointer: `${at}/${role}`, reference, kind: 'dataset', role });
    }
  }
  return references;
}

/** Their rows, all there and ready. */
async function find(
  { database }: Pick<Parts, 'database'>,
  projectId: string,
  references: readonly Reference[],
): Promise<Found[]> {
  const rows = new Map<string, AssetRow>();
  await Promise.all(
    ASSET_KINDS.map(async (kind) => {
      const ids = references.filter((reference) => reference.kind === kind).map(({ reference }) => reference);
      if (ids.length === 0) return;
      // A row is of the kind that was asked for: the same id means nothing where another kind is wanted.
      for (const [id, row] of await database.assets(kind).getMany(projectId, ids)) rows.set(`${kind} ${id}`, row);
    }),
  );
  const found: Found[] = [];
  const missing: Reference[] = [];
  for (const reference of references) {
    const row = rows.get(`${reference.kind} ${reference.reference}`);
    if (row === undefined) missing.push(reference);
    else found.push({ ...reference, row });
  }
  if (missing.length > 0) throw notFound(missing);
  const notReady = found.filter(({ row }) => row.state !== 'ready');
  const [first] = notReady;
  if (first !== undefined) {
    const errors = notReady.map(({ pointer, reference, kind, row }) => ({
      pointer,
      detail: `${kind} "${reference}" is ${row.state}, not ready`,
    }));
    throw refusal(`${first.kind}_not_ready`, errors);
  }
  return found;
}

async function toModelInput(
  parts: Pick<Parts, 'database' | 'descriptions'>,
  projectId: string,
  found: Found,
): Promise<ModelInput> {
  const { row, reference, name } = found;
  const checkpoint = await describeStored(parts, projectId, row);
  // Deleted just now.
  if (checkpoint === null) throw notFound([found]);
  const hub = row.uri === null ? null : hubRepository(row.uri);
  return {
    reference,
    identity: row.id,
    name: name ?? shortName(row.name),
    checkpoint,
    ...(hub !== null && { hub }),
  };
}

function toTaskInput(task: RecipeTask, at: string, found: ReadonlyMap<string, Found>): TaskInput[] {
  const graph = found.get(`${at}/graph`);
  if (graph === undefined) return [];
  const dataset = (role: 'data' | 'evaluation'): DatasetInput | null => {
    const item = found.get(`${at}/${role}`);
    return item === undefined
      ? null
      : { row: item.row, description: item.row.description as unknown as DatasetDescription };
  };
  return [
    {
      task,
      graph: { row: graph.row, description: graph.row.description as unknown as StoredGraph },
      data: dataset('data'),
      evaluation: dataset('evaluation'),
    },
  ];
}

/** Null when it is gone. The row says that it is ready, so its tensors are final. */
async function describeStored(
  { database, descriptions }: Pick<Parts, 'database' | 'descriptions'>,
  projectId: string,
  row: AssetRow,
): Promise<CheckpointDescription | null> {
  const known = descriptions.get(row.id);
  if (known !== undefined) return known;
  const inventory = await database.checkpoints.inventory(projectId, row.id);
  if (inventory === null) return null;
  const files = row.files.map((file) => ({ path: file.path, bytes: Number(file.bytes) }));
  const description = checkpointFromInventory(files, inventory.tensors, row.name, inventory.configs);
  descriptions.set(row.id, description);
  return description;
}

function notFound(references: readonly Reference[]): AmalgamError {
  return refusal(
    'not_found',
    references.map(({ pointer, kind, reference }) => {
      const hint = isId(kind, reference) ? '' : `: the service knows each by its id, ${ID_PREFIXES[kind]}_…`;
      return { pointer, detail: `there is no ${kind} "${reference}"${hint}` };
    }),
  );
}

function refusal(code: ErrorCode, errors: FieldError[]): AmalgamError {
  const placed = errors.map(({ pointer, detail }) => ({ pointer: `/recipe${pointer}`, detail }));
  return new AmalgamError(code, joinDetails(errors.map((error) => error.detail)), { errors: placed });
}
