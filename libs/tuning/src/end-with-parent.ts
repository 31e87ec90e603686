import { Worker } from 'node:worker_threads';

/**
 * Ends this process, which `startChild` forked, when the one that forked it is gone. A thread looks after it: a call of
 * onnxruntime blocks the event loop for as long as it lasts, which for a graph with an endless loop is for ever.
 */
export function endWithParent(): void {
  process.on('disconnect', () => process.exit(1));
  new Worker(new URL('./parent-thread.js', import.meta.url), { workerData: Number(process.argv[2]) }).unref();
}
