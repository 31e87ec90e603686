CREATE TYPE "disabled_reason" AS ENUM ('user', 'gone', 'exhausted');

CREATE TABLE "webhook_endpoints" (
    "id" TEXT NOT NULL,
    "project_id" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "description" TEXT,
    "events" TEXT[],
    "enabled" BOOLEAN NOT NULL DEFAULT true,
    "disabled_reason" "disabled_reason",
    "disabled_at" TIMESTAMPTZ(3),
    "secret" TEXT NOT NULL,
    "old_secrets" JSON NOT NULL DEFAULT '[]',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "webhook_endpoints_pkey" PRIMARY KEY ("id")
);
CREATE UNIQUE INDEX "webhook_endpoints_project_id_id_key" ON "webhook_endpoints"("project_id", "id");
ALTER TABLE "webhook_endpoints" ADD CONSTRAINT "webhook_endpoints_project_id_fkey"
    FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- A delivery may go to an endpoint, and may be of something else than a merge's event.
ALTER TABLE "deliveries" ALTER COLUMN "merge_id" DROP NOT NULL;
ALTER TABLE "deliveries" ALTER COLUMN "event_id" DROP NOT NULL;
ALTER TABLE "deliveries" ADD COLUMN "endpoint_id" TEXT;
ALTER TABLE "deliveries" ADD COLUMN "type" TEXT;
UPDATE "deliveries" SET "type" = "events"."type"::text FROM "events" WHERE "events"."id" = "deliveries"."event_id";
ALTER TABLE "deliveries" ALTER COLUMN "type" SET NOT NULL;
-- Where the retry schedule stands, which a redelivery begins anew; "attempts" goes on counting.
ALTER TABLE "deliveries" ADD COLUMN "schedule_step" INTEGER NOT NULL DEFAULT 0;
UPDATE "deliveries" SET "schedule_step" = "attempts";
ALTER TABLE "deliveries" ADD COLUMN "scheduled_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP;
UPDATE "deliveries" SET "scheduled_at" = "created_at";
ALTER TABLE "deliveries" ADD CONSTRAINT "deliveries_endpoint_id_fkey"
    FOREIGN KEY ("endpoint_id") REFERENCES "webhook_endpoints"("id") ON DELETE CASCADE ON UPDATE CASCADE;
CREATE INDEX "deliveries_endpoint_id_id_idx" ON "deliveries"("endpoint_id", "id");
CREATE INDEX "deliveries_state_finished_at_idx" ON "deliveries"("state", "finished_at");

CREATE TABLE "delivery_tries" (
    "delivery_id" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "url" TEXT NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "duration_ms" INTEGER NOT NULL,
    "request_headers" JSON NOT NULL,
    "status" INTEGER,
    "response_head" TEXT NOT NULL,
    "error" TEXT,

    CONSTRAINT "delivery_tries_pkey" PRIMARY KEY ("delivery_id", "number")
);
ALTER TABLE "delivery_tries" ADD CONSTRAINT "delivery_tries_delivery_id_fkey"
    FOREIGN KEY ("delivery_id") REFERENCES "deliveries"("id") ON DELETE CASCADE ON UPDATE CASCADE;
