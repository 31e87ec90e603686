// npm run openapi — writes openapi.json, the document that the running service gives at /openapi.json.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startService } from '@amalgam/cli';

const path = fileURLToPath(new URL('../openapi.json', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'amalgam-openapi-'));
chmodSync(home, 0o755); // as root the database runs as another user, who must get in
try {
  const env = { ...process.env, AMALGAM_HOME: home, AMALGAM_PORT: '0', AMALGAM_KEY_FILE: join(home, 'key') };
  const service = await startService({ env, workers: 0, output: 'ignore' });
  try {
    const response = await fetch(`${service.url}/openapi.json`);
    writeFileSync(path, `${JSON.stringify(await response.json(), null, 2)}\n`);
  } finally {
    await service.stop();
  }
} finally {
  rmSync(home, { recursive: true, force: true });
}
