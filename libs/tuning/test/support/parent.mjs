// Runs the tuning job that it is sent, and says when a step is done; tests end it in the middle.
import { runTuneJob } from '../../dist/fork-job.js';

process.once('message', (job) => {
  void runTuneJob(job, { onStep: (step) => process.send(step) });
});
