import { AmalgamError, type AssetKind } from '@amalgam/contracts';
import { PrismaPg } from '@prisma/adapter-pg';
import type { Channel, Context } from './context.js';
import { Vault } from './crypto.js';
import { PrismaClient } from './generated/client.js';
import { type Handler, Listener, type Subscription } from './listen.js';
import { ApiKeyRepository } from './repositories/api-keys.js';
import { AssetRepository, CheckpointRepository } from './repositories/assets.js';
import { AttemptRepository } from './repositories/attempts.js';
import { DeliveryRepository } from './repositories/deliveries.js';
import { EventRepository } from './repositories/events.js';
import { IdempotencyRepository } from './repositories/idempotency.js';
import { MergeControl } from './repositories/merge-control.js';
import { MergeRepository } from './repositories/merges.js';
import { OutboxRepository } from './repositories/outbox.js';
import { ProjectRepository } from './repositories/projects.js';
import { ReconcilerRepository } from './repositories/reconciler.js';
import { ShardRepository } from './repositories/shards.js';
import { WebhookEndpointRepository } from './repositories/webhook-endpoints.js';
import { WorkerRepository } from './repositories/workers.js';
import { statementNames } from './statement-names.js';

export interface ConnectOptions {
  url: string;
  /** Most connections of the pool, default 10. A transaction holds one; `listen` takes one more. */
  max?: number;
  /** 32 bytes that seal webhook secrets; several to rotate: the first seals, all open. */
  secretKey?: Uint8Array | readonly Uint8Array[];
  /** For how long a key that was found good is not looked up again, default 5 s. */
  keyTtlMs?: number;
  /** Told of connections that were lost while idle; they are replaced by themselves. */
  onError?: (error: Error) => void;
}

/** Longer than any transaction waits between two statements: that is the dispatcher's, for the queue. */
const IDLE_IN_TRANSACTION_MS = 30_000;

/** The longest that a key works on after another process revoked it; docs/operations.md says so. */
const KEY_TTL_MS = 5_000;

type AssetRepositories = { [K in AssetKind]: AssetRepository<K> };

/** The database: repositories by subject. Users' calls take the project first; what belongs to another is not there. */
export class Database {
  readonly projects: ProjectRepository;
  readonly apiKeys: ApiKeyRepository;
  readonly checkpoints: CheckpointRepository;
  readonly graphs: AssetRepository<'graph'>;
  readonly datasets: AssetRepository<'dataset'>;
  readonly merges: MergeRepository;
  readonly control: MergeControl;
  readonly attempts: AttemptRepository;
  readonly shards: ShardRepository;
  readonly events: EventRepository;
  readonly outbox: OutboxRepository;
  readonly deliveries: DeliveryRepository;
  readonly webhookEndpoints: WebhookEndpointRepository;
  readonly idempotency: IdempotencyRepository;
  readonly workers: WorkerRepository;
  readonly reconciler: ReconcilerRepository;
  readonly #listener: Listener;

  constructor(
    readonly prisma: PrismaClient,
    vault: Vault,
    listener: Listener,
    keyTtlMs: number,
  ) {
    const context: Context = { prisma, vault };
    this.#listener = listener;
    this.projects = new ProjectRepository(context);
    this.apiKeys = new ApiKeyRepository(context, keyTtlMs);
    this.checkpoints = new CheckpointRepository(context);
    this.graphs = new AssetRepository(context, 'graph');
    this.datasets = new AssetRepository(context, 'dataset');
    this.merges = new MergeRepository(context);
    this.control = new MergeControl(context);
    this.attempts = new AttemptRepository(context);
    this.shards = new ShardRepository(context);
    this.events = new EventRepository(context);
    this.outbox = new OutboxRepository(context);
    this.deliveries = new DeliveryRepository(context);
    this.webhookEndpoints = new WebhookEndpointRepository(context);
    this.idempotency = new IdempotencyRepository(context);
    this.workers = new WorkerRepository(context);
    this.reconciler = new ReconcilerRepository(context);
  }

  /** The assets of a kind. */
  assets<K extends AssetKind>(kind: K): AssetRepository<K> {
    const all: AssetRepositories = { checkpoint: this.checkpoints, graph: this.graphs, dataset: this.datasets };
    return all[kind];
  }

  /** Calls `handler` for each NOTIFY on a channel, and with '' after a reconnect (see Listener). */
  async listen(channel: Channel, handler: Handler): Promise<Subscription> {
    return this.#listener.listen(channel, handler);
  }

  /** For readiness: `unavailable` when the server does not answer. */
  async ping(): Promise<void> {
    try {
      await this.prisma.$queryRaw`SELECT 1`;
    } catch (cause) {
      throw new AmalgamError('unavailable', 'the database does not answer', { cause });
    }
  }

  async close(): Promise<void> {
    await this.#listener.close();
    await this.prisma.$disconnect();
  }
}

/** Connects to a migrated database; `unavailable` when the server does not answer. */
export async function connect(options: ConnectOptions): Promise<Database> {
  const { url, max = 10, secretKey = [], keyTtlMs = KEY_TTL_MS, onError = () => {} } = options;
  const adapter = new PrismaPg(
    {
      connectionString: url,
      max,
      application_name: 'amalgam',
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
      // A process that freezes within a transaction must not keep its row locks from those who take over.
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    },
    { onPoolError: onError, onConnectionError: onError, statementNameGenerator: statementNames() },
  );
  const prisma = new PrismaClient({
    adapter,
    // Many callers may wait for the pool's few connections; the default of 2 s fails them for nothing.
    transactionOptions: { maxWait: 15_000, timeout: 30_000 },
  });
  const keys = secretKey instanceof Uint8Array ? [secretKey] : secretKey;
  const database = new Database(prisma, new Vault(keys), new Listener({ url, onError }), keyTtlMs);
  try {
    await database.ping();
  } catch (error) {
    await database.close();
    throw error;
  }
  return database;
}
