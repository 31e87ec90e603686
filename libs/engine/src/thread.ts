import { serveJobs } from '@amalgam/kernels';
import type { Job } from './job.js';
import { MergeThread } from './merge-thread.js';

/** What each thread of a merge loads. */

serveJobs((job: Job, kernels) => new MergeThread(job, kernels));
