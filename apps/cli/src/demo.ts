import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient } from '@amalgam/client';
import type { Merge, MergeEvent, Report, WebhookBody } from '@amalgam/contracts';
import { describeCheckpoint, localFileFolder } from '@amalgam/tensors';
import { Webhook } from 'standardwebhooks';
import { startService } from './service.js';
import { showBytes, showTable } from './show.js';

/**
 * `npm run demo`: the whole service on this machine, driven through its HTTP API as a training pipeline would: upload, merge,
 * follow the events, download, verify result and webhook. Leaves nothing behind unless `--keep`.
 */

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));
const TASKS = ['digits', 'shapes', 'segments', 'location', 'quadpair', 'blobs'];
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

async function run(url: string, apiKey: string, scratch: string): Promise<void> {
  const client = createClient({ baseUrl: url, apiKey });
  const receiver = await startReceiver();
  try {
    const ids: Record<string, string> = {};
    for (const name of ['base', ...TASKS]) {
      const file = join(ZOO, `${name}.safetensors`);
      const checkpoint = await client.checkpoints.upload({ name, files: [{ path: 'model.safetensors', file }] });
      ids[name] = checkpoint.id;
    }
    say(`uploaded a base and ${TASKS.length} fine-tuned vision transformers through HTTP`);

    const recipe = {
      method: 'ties',
      base: ids['base']!,
      models: TASKS.map((task) => ({ model: ids[task]! })),
      parameters: { density: 0.2, lambda: 0.3, combine: 'sum' },
    };
    const plan = await client.merges.plan(recipe);
    say(
      `plan: ${plan.tensors.merged} tensors, reads ${showBytes(plan.bytes_read)}, at most ${showBytes(plan.memory_bytes)} of memory`,
    );

    const merge = await client.merges.create({ name: 'demo', recipe, webhook: { url: receiver.url } });
    say(`POST /v1/merges → ${merge.id}`);
    for await (const event of client.merges.events(merge.id)) say(`event ${event.seq}: ${describe(event)}`);

    const done = await client.merges.get(merge.id);
    if (done.state !== 'succeeded') throw new Error(`the merge ${done.state}: ${done.error?.detail}`);
    const report = await client.merges.report(merge.id);
    await verifyResult(client, done, scratch);
    await verifyWebhooks(receiver.received, merge.webhook!.secret!, done);
    console.log(`\n${summary(report)}\n`);
  } finally {
    receiver.close();
  }
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
async function verifyResult(client: ReturnType<typeof createClient>, merge: Merge, scratch: string): Promise<void> {
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
  const types = () => received.map(({ body }) => (JSON.parse(body) as WebhookBody).type);
  while (!types().includes('merge.succeeded') && Date.now() < until)
    await new Promise((resolve) => setTimeout(resolve, 50));
  const final = received.find(({ body }) => (JSON.parse(body) as WebhookBody).type === 'merge.succeeded');
  if (final === undefined) throw new Error('the webhook merge.succeeded did not come');
  // Throws when the signature is not right.
  const event = new Webhook(secret).verify(final.body, final.headers) as WebhookBody;
  check(
    event.data.id === merge.id,
    `${received.length} webhooks received (${[...new Set(types())].join(', ')}), the signature is right`,
  );
}

function summary(report: Report): string {
  const rows = report.inputs
    .filter((input) => input.role === 'model')
    .map((input) => [
      input.name,
      input.norm!.toFixed(3),
      `${(100 * input.trimmed!).toFixed(1)} %`,
      input.threshold!.toExponential(2),
    ]);
  const table = showTable(['model', 'norm of task vector', 'trimmed', 'threshold'], rows);
  const { total = 0 } = report.seconds;
  return `${table}\n\nTIES: ${(100 * report.sign_conflicts!).toFixed(1)} % of the entries had survivors of both signs; merged in ${total.toFixed(2)} s`;
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
  if (!failed) say('stopped; nothing is left running');
  process.exitCode = failed ? 1 : 0;
}
