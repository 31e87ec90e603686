import type { Config, Parts } from '@amalgam/runtime';
import type { LocalCache } from '@amalgam/storage';
import type { Logger, Metrics } from '@amalgam/telemetry';
import type { Device } from './device.js';
import type { Identity } from './heartbeat.js';
import type { Scratch } from './scratch.js';

/** What every part of one worker works with. */
export interface WorkerContext {
  config: Config;
  parts: Parts;
  log: Logger;
  metrics: Metrics;
  identity: Identity;
  device: Device;
  cache: LocalCache;
  scratch: Scratch;
  /** First pause before an attempt that met trouble goes back to the queue; later ones are longer. */
  retryMs: number;
}
