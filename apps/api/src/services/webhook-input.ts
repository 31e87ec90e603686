import type { Config } from '@amalgam/runtime';
import { checkSecret, checkUrl, newSecret } from '@amalgam/webhooks';
import { at } from './problem.js';

/** Refuses a URL that no webhook may go to: `webhook_not_allowed` at the pointer. */
export async function assertUrl(config: Config, url: string, pointer: string): Promise<void> {
  try {
    await checkUrl(url, config.webhooks);
  } catch (error) {
    throw at(pointer, error);
  }
}

/** The secret that was sent, if it is a good one, else a new one. */
export function secretOf(secret: string | undefined, pointer: string): string {
  if (secret === undefined) return newSecret();
  try {
    checkSecret(secret);
  } catch (error) {
    throw at(pointer, error);
  }
  return secret;
}
