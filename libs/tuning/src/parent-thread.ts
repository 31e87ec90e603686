import { workerData } from 'node:worker_threads';

// The thread of `endWithParent`. A process that is gone leaves its children to another one.

const LOOK_EVERY_MS = 1_000;

setInterval(() => {
  if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL');
}, LOOK_EVERY_MS);
