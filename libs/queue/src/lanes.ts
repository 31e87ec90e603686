import type { Lane } from '@amalgam/contracts';

/** The name of a lane's queue in BullMQ (`bull:amalgam-cpu:wait` in Redis, say). */
export function queueName(lane: Lane): string {
  return `amalgam-${lane}`;
}

/** Refuses ids that BullMQ would refuse (colons, integers) or number by itself (empty). */
export function checkJobId(id: string): void {
  if (id === '' || id.includes(':') || /^[+-]?\d+$/.test(id)) {
    throw new TypeError(`a job id must not be empty, an integer, or hold a colon: "${id}"`);
  }
}
