import { isAmalgamError } from '@amalgam/contracts';
import { loadConfig } from '@amalgam/runtime';
import { writeKeyFile } from './first-key.js';
import { startApi } from './start.js';

const EXIT_MS = 10_000;

async function main(): Promise<void> {
  const api = await startApi(loadConfig());
  const stop = (): void => {
    setTimeout(() => process.exit(1), EXIT_MS).unref();
    api.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
  // Whoever started it with a channel is gone when the channel is.
  process.once('disconnect', stop);

  if (api.firstKey !== null) {
    console.log(`amalgam: API key (shown once): ${api.firstKey}`);
    const file = process.env['AMALGAM_KEY_FILE'];
    if (file !== undefined && file !== '') await writeKeyFile(file, api.firstKey);
  }
  console.log(`amalgam: listening on ${api.url}`);
  process.send?.({ type: 'listening', url: api.url });
}

main().catch((error: unknown) => {
  console.error(isAmalgamError(error) ? `amalgam: ${error.detail}` : error);
  process.exit(1);
});
