-- Events of a project, in one order: those of its merges, and of its webhook endpoints.
ALTER TYPE "event_type" ADD VALUE 'webhook.disabled';

ALTER TABLE "events" ADD COLUMN "project_id" TEXT;
ALTER TABLE "events" ADD COLUMN "position" BIGINT;
ALTER TABLE "events" ADD COLUMN "endpoint_id" TEXT;
ALTER TABLE "events" ALTER COLUMN "merge_id" DROP NOT NULL;
ALTER TABLE "events" ALTER COLUMN "seq" DROP NOT NULL;
UPDATE "events" SET "project_id" = placed."project_id", "position" = placed."position"
FROM (
    SELECT e."id", m."project_id",
           row_number() OVER (PARTITION BY m."project_id" ORDER BY e."created_at", e."merge_id", e."seq") AS "position"
    FROM "events" e JOIN "merges" m ON m."id" = e."merge_id"
) AS placed
WHERE "events"."id" = placed."id";
ALTER TABLE "events" ALTER COLUMN "project_id" SET NOT NULL;
ALTER TABLE "events" ADD CONSTRAINT "events_project_id_fkey"
    FOREIGN KEY ("project_id") REFERENCES "projects"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
CREATE UNIQUE INDEX "events_project_id_position_key" ON "events"("project_id", "position");
CREATE INDEX "events_project_id_created_at_idx" ON "events"("project_id", "created_at");
CREATE INDEX "events_without_position" ON "events"("project_id") WHERE "position" IS NULL;

ALTER TABLE "projects" ADD COLUMN "last_position" BIGINT NOT NULL DEFAULT 0;
UPDATE "projects" SET "last_position" = (
    SELECT COALESCE(max(e."position"), 0) FROM "events" e WHERE e."project_id" = "projects"."id");

-- Gives positions to the project's events that have none, and returns the highest one. Whoever reads events calls it first
-- (docs/architecture.md says why positions are given by readers). It must run as a transaction by itself.
CREATE FUNCTION "place_events"("project" TEXT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    highest BIGINT;
    placed BIGINT;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM "events" e WHERE e."project_id" = "project" AND e."position" IS NULL) THEN
        RETURN (SELECT p."last_position" FROM "projects" p WHERE p."id" = "project");
    END IF;
    SELECT p."last_position" INTO highest FROM "projects" p WHERE p."id" = "project" FOR NO KEY UPDATE;
    -- The statement after a lock looks anew: it sees what was committed while this one waited.
    -- By their times, but a merge's never against its numbers, even where the clock was set back between them.
    WITH timed AS (
        SELECT e."id", e."merge_id", e."seq",
               max(e."created_at") OVER (PARTITION BY COALESCE(e."merge_id", e."id") ORDER BY e."seq") AS "at"
        FROM "events" e WHERE e."project_id" = "project" AND e."position" IS NULL
    ), fresh AS (
        SELECT t."id", row_number() OVER (ORDER BY t."at", t."merge_id", t."seq", t."id") AS "n" FROM timed t
    )
    UPDATE "events" SET "position" = highest + fresh."n" FROM fresh WHERE "events"."id" = fresh."id";
    GET DIAGNOSTICS placed = ROW_COUNT;
    UPDATE "projects" SET "last_position" = highest + placed WHERE "id" = "project";
    RETURN highest + placed;
END
$$;
