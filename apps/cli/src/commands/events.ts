import { ENDPOINT_EVENT_TYPES, type EndpointEventType } from '@amalgam/contracts';
import { Command, Option } from 'commander';
import { parsePosition } from '../options.js';
import { connect, type RemoteOptions, withRemoteOptions } from '../remote/connect.js';

interface EventsOptions extends RemoteOptions {
  follow?: boolean;
  type?: EndpointEventType[];
  merge?: string;
  after?: number;
  since?: string;
}

/** `amalgam events`: what happens in a service's project, to all its merges. */
export function eventsCommand(): Command {
  const command = new Command('events').description('What has happened to all merges of a service, the oldest first');
  return withRemoteOptions(command)
    .option('--follow', 'what is to come; after --after or --since, or else from now on')
    .addOption(new Option('--type <types...>', 'events of these types').choices(ENDPOINT_EVENT_TYPES))
    .option('--merge <id>', 'events of one merge')
    .option('--after <position>', 'events after this one', parsePosition)
    .option('--since <time>', 'events from this time on, ISO 8601')
    .action(async ({ follow, type, merge, after, since, url, json }: EventsOptions) => {
      const query = {
        ...(type === undefined ? {} : { types: type }),
        ...(merge === undefined ? {} : { merge }),
        ...(after === undefined ? {} : { after }),
        ...(since === undefined ? {} : { since }),
      };
      const client = connect({ ...(url !== undefined && { url }) });
      const onConnection = (state: 'open' | 'lost') => {
        if (state === 'lost') console.error('amalgam: the stream is lost; connecting again');
      };
      const events = follow === true ? client.events({ ...query, onConnection }) : client.pastEvents(query);
      for await (const event of events) {
        if (json) console.log(JSON.stringify(event));
        else {
          const { position, created_at, merge_id, endpoint_id, data } = event;
          const subject = merge_id ?? endpoint_id ?? '–';
          const words = [
            String(position).padStart(6),
            created_at,
            event.type.padEnd(16),
            subject,
            JSON.stringify(data),
          ];
          console.log(words.join('  '));
        }
      }
    });
}
