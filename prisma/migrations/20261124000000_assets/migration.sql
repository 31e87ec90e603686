-- Checkpoints become one kind of asset; graphs and datasets join them in the same tables.
CREATE TYPE "asset_kind" AS ENUM ('checkpoint', 'graph', 'dataset');
ALTER TYPE "checkpoint_state" RENAME TO "asset_state";
ALTER TYPE "checkpoint_source" RENAME TO "asset_source";
-- Not used in this transaction, as PostgreSQL asks of new values.
ALTER TYPE "input_role" ADD VALUE 'graph';
ALTER TYPE "input_role" ADD VALUE 'data';
ALTER TYPE "input_role" ADD VALUE 'evaluation';

ALTER TABLE "checkpoints" RENAME TO "assets";
ALTER TABLE "assets" ADD COLUMN "kind" "asset_kind" NOT NULL DEFAULT 'checkpoint';
ALTER TABLE "assets" ALTER COLUMN "kind" DROP DEFAULT;
ALTER TABLE "assets" ADD COLUMN "description" JSON;
ALTER TABLE "assets" RENAME CONSTRAINT "checkpoints_pkey" TO "assets_pkey";
ALTER TABLE "assets" RENAME CONSTRAINT "checkpoints_project_id_fkey" TO "assets_project_id_fkey";
ALTER INDEX "checkpoints_state_expires_at_idx" RENAME TO "assets_state_expires_at_idx";
ALTER INDEX "checkpoints_merge_id_idx" RENAME TO "assets_merge_id_idx";
ALTER INDEX "checkpoints_metadata_idx" RENAME TO "assets_metadata_idx";
-- Lists are of one project and one kind, newest first.
DROP INDEX "checkpoints_project_id_id_key";
CREATE UNIQUE INDEX "assets_project_id_kind_id_key" ON "assets"("project_id", "kind", "id");

ALTER TABLE "checkpoint_files" RENAME TO "asset_files";
ALTER TABLE "asset_files" RENAME COLUMN "checkpoint_id" TO "asset_id";
ALTER TABLE "asset_files" RENAME CONSTRAINT "checkpoint_files_pkey" TO "asset_files_pkey";
ALTER TABLE "asset_files" RENAME CONSTRAINT "checkpoint_files_checkpoint_id_fkey" TO "asset_files_asset_id_fkey";

ALTER TABLE "merge_inputs" RENAME COLUMN "checkpoint_id" TO "asset_id";
ALTER TABLE "merge_inputs" RENAME CONSTRAINT "merge_inputs_checkpoint_id_fkey" TO "merge_inputs_asset_id_fkey";
ALTER INDEX "merge_inputs_checkpoint_id_idx" RENAME TO "merge_inputs_asset_id_idx";

-- What an attempt computes on, and how far its tuning is.
ALTER TABLE "attempts" ADD COLUMN "device" TEXT;
ALTER TABLE "merges" ADD COLUMN "tuning" JSON;
