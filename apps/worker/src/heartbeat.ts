import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Lane } from '@amalgam/contracts';
import type { Database } from '@amalgam/database';
import type { Logger } from '@amalgam/telemetry';
import { Loop } from './loop.js';

/** Who a worker is; unique over machines, processes and restarts. */
export interface Identity {
  id: string;
  hostname: string;
  pid: number;
  version: string;
}

export function newIdentity(): Identity {
  const host = hostname();
  const name = host.replaceAll(/[^A-Za-z0-9.-]+/g, '-').slice(0, 60);
  const id = `wrk_${name}_${process.pid}_${randomBytes(4).toString('hex')}`;
  return { id, hostname: host, pid: process.pid, version: ownVersion() };
}

export function ownVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

export interface HeartbeatOptions {
  workers: Database['workers'];
  identity: Identity;
  lanes: Lane[];
  /** What it tunes on, in words. */
  device: string;
  /** Ids of the merges that it works on now. */
  running: () => string[];
  everyMs: number;
  log: Logger;
}

/**
 * Says again and again that this worker lives. Merging happens in threads, so this goes on while it merges. It says
 * nothing of the merges' claims: those have heartbeats of their own (lease.ts).
 */
export function startHeartbeat({ workers, identity, lanes, device, running, everyMs, log }: HeartbeatOptions): Loop {
  const beat = () => workers.heartbeat({ ...identity, lanes, device, running: running() });
  return new Loop(beat, { name: 'heartbeat', everyMs, log }).start();
}
