import { isAmalgamError } from '@amalgam/contracts';
import { loadConfig, openParts, type Parts } from '@amalgam/runtime';
import { createLogger, createMetrics, type Logger } from '@amalgam/telemetry';
import { type RunningWorker, startWorker } from './index.js';
import { startMetricsServer } from './metrics-server.js';
import { settlesWithin } from './patience.js';

/** Beyond the worker's own limits: then the process ends, whatever still hangs. */
const LAST_RESORT_MS = 30_000;
const PARTS_CLOSE_MS = 5_000;

/** The worker as a program: settings from the environment, signals, exit codes. */
async function main(): Promise<void> {
  const config = loadConfig();
  const log = createLogger({ name: 'worker', level: config.logLevel, pretty: config.logPretty });
  const metrics = createMetrics();
  process.on('unhandledRejection', (error) => {
    // Unknown state: the merges go to other workers when the heartbeats stop.
    log.fatal({ err: error }, 'unhandled rejection');
    process.exit(1);
  });

  let stopAsked: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    stopAsked = resolve;
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info({ signal }, 'asked to stop');
      stopAsked();
      setTimeout(() => process.exit(1), config.worker.graceMs + LAST_RESORT_MS).unref();
    });
  }

  let parts: Parts | undefined;
  try {
    parts = await openParts(config, log);
    const worker = await startWorker({ config, parts, log, metrics });
    if (config.worker.metricsPort !== null) {
      await startMetricsServer(config.host, config.worker.metricsPort, metrics, log);
    }
    await asked;
    await stop(worker, parts);
    process.exit(0);
  } catch (error) {
    report(error, log);
    process.exit(1);
  }
}

async function stop(worker: RunningWorker, parts: Parts): Promise<void> {
  await worker.close();
  await settlesWithin(parts.close(), PARTS_CLOSE_MS);
}

function report(error: unknown, log: Logger): void {
  if (isAmalgamError(error)) log.fatal({ code: error.code }, `${error.title}: ${error.detail}`);
  else log.fatal({ err: error }, 'the worker cannot go on');
}

await main();
