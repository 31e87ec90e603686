import { toPlain } from '@amalgam/contracts';
import type { Message, Request } from './messages.js';
import { runEvaluation } from './run-evaluation.js';
import { runTuning } from './run-tuning.js';

/** The program that is forked for a job: onnxruntime blocks its event loop, and is stopped by ending the process. */

const tell = (message: Message) => {
  if (process.connected) process.send?.(message);
};

process.on('disconnect', () => process.exit(1));
process.on('message', (request) => {
  void perform(request as Request).then(
    (message) => tell(message),
    (error: unknown) => {
      if (toPlain(error).code === 'internal') console.error(error);
      tell({ kind: 'failed', error: toPlain(error) });
    },
  );
});

async function perform(request: Request): Promise<Message> {
  if (request.kind === 'tune') return { kind: 'tuned', result: await runTuning(request, tell) };
  return { kind: 'scores', result: await runEvaluation(request, tell) };
}
