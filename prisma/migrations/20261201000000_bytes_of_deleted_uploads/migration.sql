-- Uploads that were deleted, and whose bytes have not been looked for since.
CREATE INDEX "assets_bytes_to_remove" ON "assets"("deleted_at")
    WHERE "state" = 'deleted' AND "source" = 'upload' AND "store_prefix" IS NOT NULL;
