import { type Client, createClient } from '@amalgam/client';
import { AmalgamError } from '@amalgam/contracts';
import type { Command } from 'commander';

/** What every command that speaks with a service takes. */
export interface RemoteOptions {
  url?: string;
  json?: boolean;
}

const DEFAULT_URL = 'http://127.0.0.1:8080';

export function withRemoteOptions(command: Command): Command {
  return command
    .option('--url <url>', `the service; default: AMALGAM_URL, else ${DEFAULT_URL}`)
    .option('--json', 'as JSON, for machines');
}

/**
 * A client of the service that the options or AMALGAM_URL name. The key comes from AMALGAM_API_KEY only: arguments are seen by
 * whoever lists the processes.
 *
 * @throws AmalgamError `invalid_request`, `unauthorized`
 */
export function connect({ url }: RemoteOptions): Client {
  const baseUrl = url ?? (process.env['AMALGAM_URL'] || DEFAULT_URL);
  if (!URL.canParse(baseUrl) || !/^https?:$/.test(new URL(baseUrl).protocol)) {
    const source = url === undefined ? 'AMALGAM_URL' : '--url';
    throw new AmalgamError('invalid_request', `${source} "${baseUrl}": must be http://… or https://…`);
  }
  const apiKey = process.env['AMALGAM_API_KEY'];
  if (apiKey === undefined || apiKey === '') {
    throw new AmalgamError('unauthorized', 'put an API key into AMALGAM_API_KEY: amk_…');
  }
  return createClient({ baseUrl, apiKey });
}
