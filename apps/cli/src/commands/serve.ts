import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { Command } from 'commander';
import { parseCount, parsePort } from '../options.js';

export function serveCommand(): Command {
  return new Command('serve')
    .description('Run everything on this machine: database, api, workers. DATABASE_URL, REDIS_URL and S3_* swap parts')
    .option('--port <port>', 'where the API listens; 0: any free port', parsePort)
    .option('--host <host>', 'address the API listens on')
    .option('--workers <n>', 'worker processes', parseCount, 1)
    .action(async (options: { port?: number; host?: string; workers: number }) => {
      // Loaded here, so that the other commands start without database, queue and object store.
      const { startService } = await import('../service.js');
      const service = await startService({
        env: {
          // Who looks at a terminal wants lines; a log that is collected, JSON.
          ...(process.stdout.isTTY ? { AMALGAM_LOG_PRETTY: 'true' } : {}),
          ...process.env,
          ...(options.port === undefined ? {} : { AMALGAM_PORT: String(options.port) }),
          ...(options.host === undefined ? {} : { AMALGAM_HOST: options.host }),
        },
        workers: options.workers,
        output: 'inherit',
      });
      console.log(`amalgam: dashboard at ${service.url}, documentation at ${service.url}/docs; Ctrl-C stops`);
      if (service.keyFile !== null && existsSync(service.keyFile)) {
        const near = relative('', service.keyFile);
        const path = near.startsWith('..') ? service.keyFile : near;
        console.log(`amalgam: sign in with the API key in ${path}`);
      }
      await new Promise<void>((resolve) => {
        process.once('SIGINT', resolve).once('SIGTERM', resolve);
      });
      await service.stop();
    });
}
