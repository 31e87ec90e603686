-- Nearly all events are of progress: whoever wants others reads past those.
CREATE INDEX "events_but_progress" ON "events"("project_id", "position") WHERE "type" <> 'merge.progress';
