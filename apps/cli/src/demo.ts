import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createClient } from '@amalgam/client';
import type { Merge, MergeEvent, Report, TuningProgress, WebhookBody } from '@amalgam/contracts';
import { describeCheckpoint, localFileFolder } from '@amalgam/tensors';
import { Webhook } from 'standardwebhooks';
import {
  type DemoMerge,
  demoMerge,
  METHOD_KEYS,
  type MethodKey,
  meanAccuracy,
  type Reports,
  showAccuracies,
  showEntropies,
} from './demo-merges.js';
import { uploadZoo } from './demo-zoo.js';
import { startService } from './service.js';
import { showBytes } from './show.js';

/**
 * `npm run demo`: the whole service on this machine, driven through its HTTP API as a training pipeline would: upload, merge
 * the same models by five methods, two of which learn from unlabelled images, follow the events, download, verify result and
 * webhook, compare how good the results are. Leaves nothing behind unless `--keep`.
 */

/** Steps of a tuning between two lines about it. */
const STEPS_SHOWN = 100;
const keep = process.argv.includes('--keep');

const say = (text: string) => console.log(`${(performance.now() / 1000).toFixed(1).padStart(5)} s  ${text}`);

function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`the demo found a fault: ${what}`);
  say(`verified: ${what}`);
}

/** A receiver of webhooks on this machine; keeps the raw requests. */
async function startReceiver() {
  const received: { headers: Record<string, string>; body: string }[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    received.push({ headers: request.headers as Record<string, string>, body: Buffer.concat(chunks).toString() });
    response.writeHead(204).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return { url, received, close: () => server.close() };
}

/** What the demo has submitted, until it ends. */
interface Submitted extends DemoMerge {
  key: MethodKey;
  merge: Merge;
}

async function run(url: string, apiKey: string, scratch: string): Promise<void> {
  const client = createClient({ baseUrl: url, apiKey });
  const receiver = await startReceiver();
  const end = new AbortController();
  try {
    const zoo = await uploadZoo(client);
    const { length } = zoo.tasks;
    say(
      `uploaded a base, ${length} fine-tuned vision transformers, their graphs and ${2 * length} datasets through HTTP`,
    );

    const plan = await client.merges.plan(demoMerge('adaPlus', zoo).recipe);
    say(
      `plan of AdaMerging++: ${plan.tensors.merged} tensors, ${plan.tuning!.coefficients} coefficients to learn, ` +
        `at most ${showBytes(plan.memory_bytes)} of memory for the merge`,
    );

    const submitted: Submitted[] = [];
    for (const key of METHOD_KEYS) {
      const { title, recipe } = demoMerge(key, zoo);
      const merge = await client.merges.create({ name: title, recipe, webhook: { url: receiver.url } });
      say(`POST /v1/merges → ${merge.id}, ${title}`);
      submitted.push({ key, title, recipe, merge });
    }
    const reports = await Promise.all(submitted.map((one) => follow(client, one, end.signal)));
    const [{ merge }] = submitted as [Submitted];
    const done = await client.merges.get(merge.id);
    await verifyResult(client, done, scratch);
    await verifyWebhooks(receiver.received, merge.webhook!.secret!, done);
    compare(Object.fromEntries(submitted.map(({ key }, i) => [key, reports[i]])) as Reports);
  } finally {
    end.abort();
    receiver.close();
  }
}

/** The first one's events are all shown, of the others what is worth a line. */
async function follow(client: Client, { key, title, merge }: Submitted, signal: AbortSignal): Promise<Report> {
  let shown = 0;
  let last = '';
  for await (const event of client.merges.events(merge.id, { signal })) {
    const { tuning } = event.data as { tuning?: TuningProgress };
    if (key === METHOD_KEYS[0]) {
      const text = describe(event);
      if (text !== last) say(`${title}: event ${event.seq}, ${text}`);
      last = text;
    } else if (tuning !== undefined && (tuning.step >= shown + STEPS_SHOWN || tuning.step === tuning.steps)) {
      shown = tuning.step;
      say(`${title}: step ${tuning.step} of ${tuning.steps}, loss ${tuning.loss.toFixed(4)}`);
    }
  }
  const done = await client.merges.get(merge.id);
  if (done.state !== 'succeeded') throw new Error(`${title} ${done.state}: ${done.error?.detail}`);
  const report = await client.merges.report(merge.id);
  const seconds = (Date.parse(done.finished_at!) - Date.parse(done.started_at!)) / 1000;
  say(`${title}: done in ${seconds.toFixed(1)} s`);
  return report;
}

function compare(reports: Reports): void {
  const [learned, given] = [meanAccuracy(reports.ada), meanAccuracy(reports.arithmetic)];
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  check(
    learned >= given,
    `AdaMerging is right in ${percent(learned)} on average, task arithmetic in ${percent(given)}`,
  );
  console.log(`\n${showAccuracies(reports)}\n\n${showEntropies(reports)}`);
  console.log('before: coefficients as they were at the first step, which are those of task arithmetic and of TIES\n');
}

function describe(event: MergeEvent): string {
  const {
    stage,
    bytes_done: done,
    bytes_total: total,
  } = event.data as { stage?: string; bytes_done?: number; bytes_total?: number };
  if (stage === undefined) return event.type;
  return `${event.type} ${stage}${total ? ` ${Math.round((100 * (done ?? 0)) / total)} %` : ''}`;
}

/** Downloads every file of the result and checks its digest, its format, and that it is what `amalgam merge` makes. */
async function verifyResult(client: Client, merge: Merge, scratch: string): Promise<void> {
  const files = merge.result!.files;
  for (const { path, sha256 } of files) {
    const local = join(scratch, path);
    await client.merges.download(merge.id, path, local);
    const digest = createHash('sha256')
      .update(await readFile(local))
      .digest('hex');
    if (digest !== sha256) throw new Error(`${path} has the digest ${digest}, not ${sha256}`);
  }
  check(true, `${files.length} files downloaded, every SHA-256 is the one in the merge`);
  const { tensors, parameters } = await describeCheckpoint(localFileFolder(join(scratch, 'model.safetensors')));
  check(
    tensors.size === 86,
    `model.safetensors holds ${tensors.size} tensors, ${parameters.toLocaleString('en')} parameters`,
  );
}

async function verifyWebhooks(
  received: { headers: Record<string, string>; body: string }[],
  secret: string,
  merge: Merge,
): Promise<void> {
  const until = Date.now() + 15_000;
  const bodyOf = ({ body }: { body: string }) => JSON.parse(body) as WebhookBody;
  const findFinal = () =>
    received.find((request) => {
      const { type, data } = bodyOf(request);
      return type === 'merge.succeeded' && data.id === merge.id;
    });
  while (findFinal() === undefined && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
  const final = findFinal();
  if (final === undefined) throw new Error('the webhook merge.succeeded did not come');
  // Throws when the signature is not right.
  const event = new Webhook(secret).verify(final.body, final.headers) as WebhookBody;
  const types = new Set(received.map((request) => bodyOf(request).type));
  check(
    event.data.state === 'succeeded',
    `${received.length} webhooks received (${[...types].join(', ')}), the signature is right`,
  );
}

const home = await mkdtemp(join(tmpdir(), 'amalgam-demo-'));
// As root the database runs as another user, who must get into the folder; else its data would lie elsewhere, and stay.
await chmod(home, 0o755);
const keyFile = join(home, 'api-key');
let failed = false;
const service = await startService({
  env: {
    ...process.env,
    AMALGAM_HOME: home,
    AMALGAM_PORT: process.env['AMALGAM_PORT'] ?? '0',
    AMALGAM_KEY_FILE: keyFile,
    AMALGAM_LOG_LEVEL: 'warn',
    AMALGAM_WEBHOOK_ALLOW_HTTP: 'true',
    AMALGAM_WEBHOOK_ALLOW_PRIVATE: '127.0.0.1',
  },
  workers: 1,
  output: 'inherit',
});
try {
  say(`PostgreSQL, api and worker run; the API is at ${service.url}, its documentation at ${service.url}/docs`);
  const apiKey = (await readFile(keyFile, 'utf8')).trim();
  await run(service.url, apiKey, join(home, 'download'));
  if (keep) {
    console.log(`Kept running at ${service.url} (key ${apiKey}); Ctrl-C stops it.`);
    await new Promise<void>((resolve) => {
      process.once('SIGINT', resolve).once('SIGTERM', resolve);
    });
  }
} catch (error) {
  failed = true;
  console.error(error);
} finally {
  await service.stop();
  await rm(home, { recursive: true, force: true });
  if (!failed)
    say('stopped; nothing is left running (npm run demo -- --keep leaves the service there, to look around)');
  process.exitCode = failed ? 1 : 0;
}
