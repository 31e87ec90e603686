// npm run bench:api — requests per second and latency of POST /v1/merges and GET /v1/merges/{id} under load, on embedded
// PostgreSQL with its durability on, beside GET /healthz as the floor of the same server in the same run.
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startService } from '@amalgam/cli';
import autocannon from 'autocannon';

const SECONDS = Number(process.env.BENCH_SECONDS ?? 10);
const CONNECTIONS = Number(process.env.BENCH_CONNECTIONS ?? 20);
const zoo = fileURLToPath(new URL('../examples/zoo/vit6/', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'amalgam-bench-api-'));
chmodSync(home, 0o755); // as root the database runs as another user, who must get in
const keyFile = join(home, 'key');

// No worker: what is measured is accepting merges, not merging.
const service = await startService({
  env: {
    ...process.env,
    AMALGAM_HOME: home,
    AMALGAM_PORT: '0',
    AMALGAM_KEY_FILE: keyFile,
    AMALGAM_LOG_LEVEL: 'error',
    AMALGAM_RATE_LIMIT: '100000000',
    AMALGAM_ALLOWED_ROOTS: `file://${zoo}`,
  },
  workers: 0,
  output: 'inherit',
});
try {
  const headers = {
    authorization: `Bearer ${readFileSync(keyFile, 'utf8').trim()}`,
    'content-type': 'application/json',
  };
  const post = async (path, body) => {
    const response = await fetch(service.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  const register = async (name) =>
    (await post('/v1/checkpoints', { name, uri: `file://${zoo}${name}.safetensors` })).id;
  const ids = {};
  for (const name of ['base', 'digits', 'shapes']) ids[name] = await register(name);
  const body = {
    recipe: { method: 'ties', base: ids.base, models: [{ model: ids.digits }, { model: ids.shapes }] },
    metadata: { run: 'bench' },
  };
  const merge = await post('/v1/merges', body);

  const rows = [];
  for (const [title, path, method] of [
    ['GET /healthz', '/healthz', 'GET'],
    ['GET /v1/merges/{id}', `/v1/merges/${merge.id}`, 'GET'],
    ['POST /v1/merges', '/v1/merges', 'POST'],
    ['GET /v1/merges?limit=20', '/v1/merges?limit=20', 'GET'],
  ]) {
    const result = await autocannon({
      url: service.url + path,
      method,
      headers,
      connections: CONNECTIONS,
      duration: SECONDS,
      ...(method === 'POST' ? { body: JSON.stringify(body) } : {}),
    });
    const errors = result.errors + result.timeouts + result.non2xx;
    rows.push([
      title,
      Math.round(result.requests.average),
      result.latency.p50,
      result.latency.p99,
      result.requests.total,
      errors,
    ]);
    if (errors > 0) process.exitCode = 1;
  }
  console.log(
    `\n${cpus()[0].model}, ${availableParallelism()} cores shared with the load generator and PostgreSQL, Node ${process.version};`,
  );
  console.log(`${CONNECTIONS} connections, ${SECONDS} s each\n`);
  console.log('| call | requests/s | p50 ms | p99 ms | requests | errors |\n|---|---|---|---|---|---|');
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
} finally {
  await service.stop();
  rmSync(home, { recursive: true, force: true });
}
