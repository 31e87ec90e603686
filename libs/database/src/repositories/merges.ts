import {
  AmalgamError,
  type EventType,
  type InputRole,
  type Lane,
  type List,
  MERGE_STATES,
  type MergeState,
  type Recipe,
} from '@amalgam/contracts';
import type { Context, Tx } from '../context.js';
import { createDeliveries } from '../create-deliveries.js';
import { Prisma } from '../generated/client.js';
import { newId } from '../ids.js';
import { insertMerge } from '../insert-merge.js';
import { assertStorable } from '../json.js';
import { type PageRequest, parsePage, toPage } from '../paging.js';
import type { MergeRow } from '../resources/merge.js';
import { readMerge, readMerges } from '../resources/read-merges.js';
import { inTransaction, retryConflicts } from '../transaction.js';
import { completeKey, type StoredResponse } from './idempotency.js';
import { WebhookEndpointRepository } from './webhook-endpoints.js';

export interface MergeInputRef {
  assetId: string;
  role: InputRole;
}

export interface NewMerge {
  id?: string;
  name?: string | null;
  /** With every default filled in. */
  recipe: Recipe;
  plan?: object;
  bytesTotal?: number;
  /** In the order of the recipe; their positions are kept. */
  inputs: MergeInputRef[];
  webhook?: { url: string; events?: EventType[]; secret: string };
  metadata?: Record<string, string>;
  /** The queue it goes to; default: as the recipe asks for (`laneOf`). */
  lane?: Lane;
  priority?: number;
}

export interface MergeFilter extends PageRequest {
  state?: MergeState | MergeState[];
  method?: string;
  /** Every one of these must be there. */
  metadata?: Record<string, string>;
  createdAfter?: Date;
  createdBefore?: Date;
  /** A part of the name, whatever its case. */
  name?: string;
  /** Checkpoints, graphs and datasets; the merge takes every one of these. */
  input?: string[];
}

/** Completes the request's Idempotency-Key in the same transaction, so that a crash cannot make the merge twice. */
export interface CreateOptions {
  idempotency?: { key: string; token: string; respond: (merge: MergeRow) => StoredResponse };
}

export class MergeRepository {
  readonly #endpoints: WebhookEndpointRepository;

  constructor(private readonly context: Context) {
    this.#endpoints = new WebhookEndpointRepository(context);
  }

  /**
   * The merge, its inputs, its first event and its outbox row, in one transaction. Throws `not_found` or
   * the kind's `…_not_ready` when an input vanished since the recipe was checked.
   */
  async create(projectId: string, input: NewMerge, options: CreateOptions = {}): Promise<MergeRow> {
    const id = input.id ?? newId('merge');
    assertStorable({ name: input.name, metadata: input.metadata, method: input.recipe.method });
    const { webhook } = input;
    const secret = webhook === undefined ? null : this.context.vault.seal(webhook.secret, id);
    const insert = (tx: Tx) => insertMerge(tx, { ...input, id, projectId, webhookSecret: secret });
    // By itself one statement, which needs no transaction around it when nobody is to be told.
    const alone = webhook === undefined && options.idempotency === undefined;
    if (alone && !(await this.#endpoints.exist(projectId))) {
      return (await retryConflicts(() => insert(this.context.prisma))).merge;
    }
    return inTransaction(this.context, async (tx) => {
      const { merge, event } = await insert(tx);
      await createDeliveries(tx, merge, event);
      if (options.idempotency !== undefined) {
        const { key, token, respond } = options.idempotency;
        const done = await completeKey(tx, this.context.vault, projectId, key, token, respond(merge));
        // The key was taken over by a later request: that one answers, this merge must not exist.
        if (!done) throw new AmalgamError('idempotency_in_progress', 'a later request took over this Idempotency-Key');
      }
      return merge;
    });
  }

  /** How many there are, by state. */
  async counts(projectId: string): Promise<Record<MergeState, number>> {
    const groups = await this.context.prisma.merge.groupBy({ by: ['state'], where: { projectId }, _count: true });
    const counts = new Map(groups.map(({ state, _count }) => [state, _count]));
    return Object.fromEntries(MERGE_STATES.map((state) => [state, counts.get(state) ?? 0])) as Record<
      MergeState,
      number
    >;
  }

  async get(projectId: string, id: string): Promise<MergeRow | null> {
    return readMerge(this.context.prisma, id, projectId);
  }

  /** The large columns and the lineage: plan and report as they were stored, inputs in the recipe's order. */
  async details(
    projectId: string,
    id: string,
  ): Promise<{ state: MergeState; plan: unknown; report: unknown; inputs: MergeInputRef[] } | null> {
    return this.context.prisma.merge.findUnique({
      where: { id, projectId },
      select: {
        state: true,
        plan: true,
        report: true,
        inputs: { orderBy: { position: 'asc' }, select: { assetId: true, role: true } },
      },
    });
  }

  /** Newest first. */
  async list(projectId: string, filter: MergeFilter = {}): Promise<List<MergeRow>> {
    const { limit, after } = parsePage('merge', filter);
    assertStorable({ metadata: filter.metadata, name: filter.name, method: filter.method, input: filter.input });
    const where = [Prisma.sql`m.project_id = ${projectId}`, ...conditions(filter)];
    if (after !== undefined) where.push(Prisma.sql`m.id < ${after}`);
    const rows = await readMerges(
      this.context.prisma,
      Prisma.join(where, ' AND '),
      Prisma.sql`ORDER BY m.id DESC LIMIT ${limit + 1}`,
    );
    return toPage(rows, limit, (row) => row);
  }

  /** How many merges there are in each state, of one project or of all. */
  async countByState(projectId?: string): Promise<Partial<Record<MergeState, number>>> {
    const groups = await this.context.prisma.merge.groupBy({
      by: ['state'],
      _count: { _all: true },
      ...(projectId === undefined ? {} : { where: { projectId } }),
    });
    return Object.fromEntries(groups.map((group) => [group.state, group._count._all]));
  }
}

function conditions(filter: MergeFilter): Prisma.Sql[] {
  const where: Prisma.Sql[] = [];
  if (filter.state !== undefined) {
    where.push(Prisma.sql`m.state = ANY(${[filter.state].flat()}::text[]::merge_state[])`);
  }
  if (filter.method !== undefined) where.push(Prisma.sql`m.method = ${filter.method}`);
  if (filter.metadata !== undefined) where.push(Prisma.sql`m.metadata @> ${JSON.stringify(filter.metadata)}::jsonb`);
  if (filter.createdAfter !== undefined) where.push(Prisma.sql`m.created_at > ${filter.createdAfter}::timestamptz`);
  if (filter.createdBefore !== undefined) where.push(Prisma.sql`m.created_at < ${filter.createdBefore}::timestamptz`);
  if (filter.name !== undefined) {
    where.push(Prisma.sql`m.name ILIKE ${`%${filter.name.replaceAll(/[\\%_]/g, '\\$&')}%`}`);
  }
  for (const id of filter.input ?? []) {
    where.push(Prisma.sql`m.id IN (SELECT merge_id FROM merge_inputs WHERE asset_id = ${id})`);
  }
  return where;
}
