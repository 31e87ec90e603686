-- A checkpoint keeps its config.json, so that merges are planned without its files.
ALTER TABLE "assets" ADD COLUMN "configs" JSON;
