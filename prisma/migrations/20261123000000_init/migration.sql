CREATE TYPE "merge_state" AS ENUM ('queued', 'running', 'succeeded', 'failed', 'canceled');
CREATE TYPE "merge_stage" AS ENUM ('planning', 'tuning', 'merging', 'evaluating', 'publishing');
CREATE TYPE "attempt_state" AS ENUM ('running', 'succeeded', 'failed', 'canceled', 'lost');
CREATE TYPE "checkpoint_state" AS ENUM ('pending', 'ready', 'deleted');
CREATE TYPE "delivery_state" AS ENUM ('pending', 'succeeded', 'failed');
CREATE TYPE "lane" AS ENUM ('cpu', 'gpu', 'delivery');
CREATE TYPE "event_type" AS ENUM (
    'merge.queued', 'merge.started', 'merge.progress', 'merge.succeeded', 'merge.failed', 'merge.canceled'
);
CREATE TYPE "checkpoint_source" AS ENUM ('upload', 'uri', 'merge');
CREATE TYPE "input_role" AS ENUM ('base', 'model');
CREATE TYPE "outbox_kind" AS ENUM ('merge', 'delivery');
CREATE TYPE "idempotency_state" AS ENUM ('in_progress', 'done');

CREATE TABLE "projects" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "projects_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "projects_name_key" ON "projects"("name");

CREATE TABLE "api_keys" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "secret_sha256" BYTEA NOT NULL,
    "scopes" TEXT[],
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),
    "last_used_at" TIMESTAMPTZ(3),

    CONSTRAINT "api_keys_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "api_keys_project_id_id_key" ON "api_keys"("project_id", "id");

CREATE TABLE "checkpoints" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "state" "checkpoint_state" NOT NULL,
    "source" "checkpoint_source" NOT NULL,
    "uri" TEXT,
    "store_prefix" TEXT,
    "merge_id" TEXT,
    "bytes" BIGINT NOT NULL DEFAULT 0,
    "tensors" INTEGER NOT NULL DEFAULT 0,
    "parameters" BIGINT NOT NULL DEFAULT 0,
    "dtypes" JSON NOT NULL DEFAULT '{}',
    "inventory" JSON,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3),
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "checkpoints_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "checkpoints_project_id_id_key" ON "checkpoints"("project_id", "id");
CREATE INDEX "checkpoints_state_expires_at_idx" ON "checkpoints"("state", "expires_at");
CREATE INDEX "checkpoints_merge_id_idx" ON "checkpoints"("merge_id");
CREATE INDEX "checkpoints_metadata_idx" ON "checkpoints" USING GIN ("metadata" jsonb_path_ops);

CREATE TABLE "checkpoint_files" (
    "checkpoint_id" TEXT NOT NULL,
    "path" TEXT NOT NULL,
    "position" INTEGER NOT NULL,
    "bytes" BIGINT NOT NULL,
    "sha256" TEXT,
    "etag" TEXT,
    "expected_sha256" TEXT,
    "uploaded" BOOLEAN NOT NULL DEFAULT false,

    CONSTRAINT "checkpoint_files_pkey" PRIMARY KEY ("checkpoint_id", "path")
);

CREATE TABLE "merges" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "name" TEXT,
    "state" "merge_state" NOT NULL,
    "stage" "merge_stage",
    "lane" "lane" NOT NULL DEFAULT 'cpu',
    "method" TEXT NOT NULL,
    "recipe" JSON NOT NULL,
    "plan" JSON,
    "bytes_done" BIGINT NOT NULL DEFAULT 0,
    "bytes_total" BIGINT NOT NULL DEFAULT 0,
    "priority" INTEGER NOT NULL DEFAULT 0,
    "cancel_requested_at" TIMESTAMPTZ(3),
    "last_event_seq" INTEGER NOT NULL DEFAULT 0,
    "last_progress_at" TIMESTAMPTZ(3),
    "attempt_count" INTEGER NOT NULL DEFAULT 0,
    "lost_count" INTEGER NOT NULL DEFAULT 0,
    "result_checkpoint_id" TEXT,
    "report" JSON,
    "error" JSON,
    "webhook_url" TEXT,
    "webhook_events" "event_type"[],
    "webhook_secret" TEXT,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "queued_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "merges_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "merges_project_id_id_key" ON "merges"("project_id", "id");
CREATE INDEX "merges_project_id_state_id_idx" ON "merges"("project_id", "state", "id");
CREATE INDEX "merges_state_queued_at_idx" ON "merges"("state", "queued_at");
CREATE INDEX "merges_result_checkpoint_id_idx" ON "merges"("result_checkpoint_id");
CREATE INDEX "merges_metadata_idx" ON "merges" USING GIN ("metadata" jsonb_path_ops);

CREATE TABLE "merge_inputs" (
    "merge_id" TEXT NOT NULL,
    "position" INTEGER NOT NULL,
    "checkpoint_id" TEXT NOT NULL,
    "role" "input_role" NOT NULL,

    CONSTRAINT "merge_inputs_pkey" PRIMARY KEY ("merge_id", "position")
);
CREATE INDEX "merge_inputs_checkpoint_id_idx" ON "merge_inputs"("checkpoint_id");

CREATE TABLE "attempts" (
    "id" TEXT NOT NULL,
    "merge_id" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "state" "attempt_state" NOT NULL,
    "worker_id" TEXT NOT NULL,
    "heartbeat_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),
    "error" JSON,

    CONSTRAINT "attempts_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "attempts_merge_id_number_key" ON "attempts"("merge_id", "number");
CREATE INDEX "attempts_state_heartbeat_at_idx" ON "attempts"("state", "heartbeat_at");
-- Not expressible in the Prisma schema: whatever the code does, a merge never runs twice at once.
CREATE UNIQUE INDEX "attempts_one_running" ON "attempts"("merge_id") WHERE "state" = 'running';

CREATE TABLE "merge_shards" (
    "merge_id" TEXT NOT NULL,
    "plan_digest" TEXT NOT NULL,
    "index" INTEGER NOT NULL,
    "path" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "bytes" BIGINT NOT NULL,
    "sha256" TEXT NOT NULL,
    "stats" JSON,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "merge_shards_pkey" PRIMARY KEY ("merge_id", "plan_digest", "index")
);

CREATE TABLE "events" (
    "id" TEXT NOT NULL,
    "merge_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "type" "event_type" NOT NULL,
    "data" JSON NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "events_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "events_merge_id_seq_key" ON "events"("merge_id", "seq");

CREATE TABLE "outbox" (
    "id" TEXT NOT NULL,
    "kind" "outbox_kind" NOT NULL,
    "subject_id" TEXT NOT NULL,
    "payload" JSON NOT NULL,
    "available_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "dispatched_at" TIMESTAMPTZ(3),

    CONSTRAINT "outbox_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "outbox_dispatched_at_available_at_idx" ON "outbox"("dispatched_at", "available_at");
CREATE INDEX "outbox_subject_id_idx" ON "outbox"("subject_id");
-- The dispatcher's question, answered from an index that holds nothing else.
CREATE INDEX "outbox_undispatched" ON "outbox"("available_at", "id") WHERE "dispatched_at" IS NULL;

CREATE TABLE "deliveries" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "merge_id" TEXT NOT NULL,
    "event_id" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "secret" TEXT,
    "body" TEXT NOT NULL,
    "state" "delivery_state" NOT NULL DEFAULT 'pending',
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "last_status" INTEGER,
    "last_error" TEXT,
    "next_attempt_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "deliveries_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "deliveries_project_id_id_key" ON "deliveries"("project_id", "id");
CREATE INDEX "deliveries_merge_id_idx" ON "deliveries"("merge_id");
CREATE INDEX "deliveries_event_id_idx" ON "deliveries"("event_id");
CREATE INDEX "deliveries_state_next_attempt_at_idx" ON "deliveries"("state", "next_attempt_at");

CREATE TABLE "idempotency_keys" (
    "project_id" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "route" TEXT NOT NULL,
    "request_hash" TEXT NOT NULL,
    "state" "idempotency_state" NOT NULL,
    "token" TEXT NOT NULL,
    "status" INTEGER,
    "headers" JSON,
    "body" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "locked_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY ("project_id", "key")
);
CREATE INDEX "idempotency_keys_created_at_idx" ON "idempotency_keys"("created_at");

CREATE TABLE "workers" (
    "id" TEXT NOT NULL,
    "hostname" TEXT NOT NULL,
    "pid" INTEGER NOT NULL,
    "lanes" "lane"[],
    "device" TEXT NOT NULL,
    "version" TEXT NOT NULL,
    "running" TEXT[],
    "started_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "heartbeat_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "workers_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "workers_heartbeat_at_idx" ON "workers"("heartbeat_at");

ALTER TABLE "api_keys" ADD CONSTRAINT "api_keys_project_id_fkey"
    FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "checkpoints" ADD CONSTRAINT "checkpoints_project_id_fkey"
    FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "checkpoint_files" ADD CONSTRAINT "checkpoint_files_checkpoint_id_fkey"
    FOREIGN KEY ("checkpoint_id") REFERENCES "checkpoints"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "merges" ADD CONSTRAINT "merges_project_id_fkey"
    FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "merges" ADD CONSTRAINT "merges_result_checkpoint_id_fkey"
    FOREIGN KEY ("result_checkpoint_id") REFERENCES "checkpoints"("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "merge_inputs" ADD CONSTRAINT "merge_inputs_merge_id_fkey"
    FOREIGN KEY ("merge_id") REFERENCES "merges"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "merge_inputs" ADD CONSTRAINT "merge_inputs_checkpoint_id_fkey"
    FOREIGN KEY ("checkpoint_id") REFERENCES "checkpoints"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "attempts" ADD CONSTRAINT "attempts_merge_id_fkey"
    FOREIGN KEY ("merge_id") REFERENCES "merges"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "merge_shards" ADD CONSTRAINT "merge_shards_merge_id_fkey"
    FOREIGN KEY ("merge_id") REFERENCES "merges"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "events" ADD CONSTRAINT "events_merge_id_fkey"
    FOREIGN KEY ("merge_id") REFERENCES "merges"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "deliveries" ADD CONSTRAINT "deliveries_project_id_fkey"
    FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "deliveries" ADD CONSTRAINT "deliveries_merge_id_fkey"
    FOREIGN KEY ("merge_id") REFERENCES "merges"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "deliveries" ADD CONSTRAINT "deliveries_event_id_fkey"
    FOREIGN KEY ("event_id") REFERENCES "events"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "idempotency_keys" ADD CONSTRAINT "idempotency_keys_project_id_fkey"
    FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
