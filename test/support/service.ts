import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startService } from '@amalgam/cli';
import { loadConfig } from '@amalgam/runtime';
import { startTestDatabase } from './postgres.js';

export interface TestService {
  url: string;
  apiKey: string;
  /** The settings' home; its folder goes with `stop`. */
  home: string;
  workers(): number[];
  /** Its process id; it is started again when it dies. */
  api(): number | undefined;
  stop(): Promise<void>;
}

/**
 * The whole service as `amalgam serve` runs it: api and worker processes, files as object store, on free ports, in a temporary
 * folder. Its database lies on the server of the tests, for a server of its own takes longer to make than many tests; with
 * `embedded` it has one.
 */
export async function startTestService(
  env: Record<string, string> = {},
  { embedded = false } = {},
): Promise<TestService> {
  const database = embedded ? null : await startTestDatabase({ migrated: false });
  const home = await mkdtemp(join(tmpdir(), 'amalgam-service-'));
  await chmod(home, 0o755); // as root the database runs as another user, who must get in
  const keyFile = join(home, 'api-key');
  const settings = {
    ...process.env,
    AMALGAM_HOME: home,
    AMALGAM_PORT: '0',
    AMALGAM_KEY_FILE: keyFile,
    AMALGAM_LOG_LEVEL: 'warn',
    AMALGAM_WEBHOOK_ALLOW_HTTP: 'true',
    AMALGAM_WEBHOOK_ALLOW_PRIVATE: '127.0.0.1',
    AMALGAM_HEARTBEAT_MS: '300',
    AMALGAM_STALE_MS: '2500',
    DATABASE_URL: database?.url,
    ...env,
  };
  loadConfig({ ...settings, AMALGAM_PORT: '1' }); // a wrong setting shows here, not in a child's output
  const service = await startService({ env: settings, workers: 1, output: 'inherit' });
  return {
    url: service.url,
    apiKey: (await readFile(keyFile, 'utf8')).trim(),
    home,
    workers: () => service.pids().workers,
    api: () => service.pids().api[0],
    stop: async () => {
      await service.stop();
      await database?.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}
