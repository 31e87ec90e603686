export { float8Table } from './float8.js';
export { Kernels, type Pointer } from './kernels.js';
export { createPool, defaultThreads, type ThreadPool } from './pool.js';
export { startThreads } from './pool-thread.js';
export { randomStream } from './random.js';
export { reducePairwise } from './reduce.js';
export { type JobThread, serveJobs } from './serve.js';
