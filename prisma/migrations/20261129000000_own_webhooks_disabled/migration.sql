-- The webhook that a merge brought along is disabled like an endpoint.
ALTER TABLE "merges" ADD COLUMN "webhook_disabled_reason" "disabled_reason";
ALTER TABLE "merges" ADD COLUMN "webhook_disabled_at" TIMESTAMPTZ(3);
