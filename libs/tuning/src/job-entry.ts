import { writeFile } from 'node:fs/promises';
import { AmalgamError, type PlainError, toPlain } from '@amalgam/contracts';
import { endWithParent } from './end-with-parent.js';
import type { Message, Request } from './messages.js';
import { runEvaluation } from './run-evaluation.js';
import { runTuning } from './run-tuning.js';
import { wantsMemory } from './runtime-words.js';

/** The program that is forked for a job: onnxruntime blocks its event loop, and is stopped by ending the process. */

const tell = (message: Message) => {
  if (process.connected) process.send?.(message);
};

endWithParent();
// Where memory runs out, Linux ends this process rather than the one that has the claim of the merge.
writeFile('/proc/self/oom_score_adj', '1000').catch(() => {});
process.on('message', (request) => {
  void perform(request as Request).then(
    (message) => tell(message),
    (error: unknown) => {
      const told = plainOf(error);
      if (told.code === 'internal' || told.code === 'unavailable') console.error(error);
      tell({ kind: 'failed', error: told });
    },
  );
});

async function perform(request: Request): Promise<Message> {
  if (request.kind === 'tune') return { kind: 'tuned', result: await runTuning(request, tell) };
  return { kind: 'scores', result: await runEvaluation(request, tell) };
}

/** Another attempt, or another machine, may have the memory. */
function plainOf(error: unknown): PlainError {
  const plain = toPlain(error);
  if (plain.code !== 'internal' || !(error instanceof Error) || !wantsMemory(error)) return plain;
  const detail = 'the models did not get the memory that they need; smaller batches need less';
  return toPlain(new AmalgamError('unavailable', detail));
}
