import { randomUUID } from 'node:crypto';
import type { Lane } from '@amalgam/contracts';
import { Redis } from 'ioredis';
import pg from 'pg';
import { QUEUE_SCHEMA, type QueueConfig, queueName } from '../src/index.js';

export function unique(): string {
  return `job_${randomUUID()}`;
}

/** A door that handlers wait at. */
export class Gate {
  open: () => void = () => {};
  readonly opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });
}

/** Asks again until the answer is truthy, and gives it. */
export async function until<T>(ask: () => T | Promise<T>, timeoutMs = 10_000): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer as NonNullable<T>;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for: ${ask.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

/** Empties a lane, whatever state its jobs are in. */
export async function wipe(config: QueueConfig, lane: Lane): Promise<void> {
  if (config.kind === 'postgres') {
    const client = new pg.Client(config.url);
    await client.connect();
    await client.query(`DELETE FROM ${QUEUE_SCHEMA}.job WHERE queue = $1`, [queueName(lane)]);
    await client.end();
    return;
  }
  const redis = new Redis(config.url);
  const keys = await redis.keys(`bull:${queueName(lane)}:*`);
  if (keys.length > 0) await redis.del(...keys);
  redis.disconnect();
}
