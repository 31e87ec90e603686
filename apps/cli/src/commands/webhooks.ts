import {
  type CreateWebhookEndpoint,
  DELIVERY_STATES,
  DELIVERY_TYPES,
  type DeliveryState,
  type DeliveryType,
  ENDPOINT_EVENT_TYPES,
  type EndpointEventType,
  type WebhookEndpoint,
} from '@amalgam/contracts';
import { Command, Option } from 'commander';
import { parseCount } from '../options.js';
import { connect, type RemoteOptions, withRemoteOptions } from '../remote/connect.js';
import { print } from '../remote/output.js';
import { showTable } from '../show.js';

interface CreateOptions extends RemoteOptions {
  description?: string;
  events?: EndpointEventType[];
}

/** `amalgam webhooks`: endpoints that a service tells about merges. */
export function webhooksCommand(): Command {
  const group = new Command('webhooks').description('Endpoints that a service tells about merges').exitOverride();
  const add = (usage: string, description: string) => withRemoteOptions(group.command(usage).description(description));

  add('list', 'the endpoints').action(async (options: RemoteOptions) => {
    const endpoints = await connect(options).webhookEndpoints.list();
    if (options.json) return print(endpoints);
    const rows = endpoints.map((endpoint) => [endpoint.id, stateOf(endpoint), endpoint.url]);
    console.log(showTable(['id', 'state', 'url'], rows));
  });

  add('create <url>', 'register an endpoint; its secret is shown now and never again')
    .option('--description <text>')
    .addOption(new Option('--events <type...>', 'default: all but merge.progress').choices(ENDPOINT_EVENT_TYPES))
    .action(async (url: string, { description, events, ...options }: CreateOptions) => {
      const body: CreateWebhookEndpoint = {
        url,
        ...(description !== undefined && { description }),
        ...(events !== undefined && { events }),
      };
      show(await connect(options).webhookEndpoints.create(body), options);
    });

  add('show <id>', 'one endpoint').action(async (id: string, options: RemoteOptions) => {
    show(await connect(options).webhookEndpoints.get(id), options);
  });

  for (const [name, enabled] of [
    ['enable', true],
    ['disable', false],
  ] as const) {
    add(`${name} <id>`, enabled ? 'send to it again' : 'send nothing to it').action(
      async (id: string, options: RemoteOptions) => {
        show(await connect(options).webhookEndpoints.update(id, { enabled }), options);
      },
    );
  }

  add('rotate <id>', 'give it a new secret, shown now; for a day the old one signs too').action(
    async (id: string, options: RemoteOptions) => {
      show(await connect(options).webhookEndpoints.rotateSecret(id), options);
    },
  );

  add('test <id>', 'send it a test').action(async (id: string, options: RemoteOptions) => {
    const delivery = await connect(options).webhookEndpoints.test(id);
    if (options.json) print(delivery);
    else console.log(delivery.id);
  });

  add('deliveries <id>', 'what was sent to it, the newest first')
    .addOption(new Option('--state <state>').choices(DELIVERY_STATES))
    .option('--limit <n>', 'at most so many, and 100', parseCount, 20)
    .action(
      async (id: string, { state, limit, ...options }: RemoteOptions & { state?: DeliveryState; limit: number }) => {
        const query = { limit: Math.min(limit, 100), ...(state !== undefined && { state }) };
        const { data } = await connect(options).webhookEndpoints.deliveries(id, query);
        if (options.json) return print(data);
        const rows = data.map((item) => [
          item.id,
          item.state,
          item.type,
          String(item.attempts),
          item.last_error ?? String(item.last_status ?? '–'),
        ]);
        console.log(showTable(['id', 'state', 'type', 'tries', 'last answer'], rows));
      },
    );

  add('delivery <id>', 'one delivery with its tries, as JSON').action(async (id: string, options: RemoteOptions) => {
    print(await connect(options).deliveries.get(id));
  });

  add('redeliver <id>', 'send a delivery again').action(async (id: string, options: RemoteOptions) => {
    const delivery = await connect(options).deliveries.redeliver(id);
    if (options.json) print(delivery);
    else console.log(`${delivery.id}: ${delivery.state}`);
  });

  add('redeliver-failed <id>', 'send again what has failed, and at once what waits for its next try')
    .requiredOption('--since <time>', 'deliveries made from this time on, ISO 8601')
    .addOption(new Option('--type <type>', 'default: all but merge.progress and webhook.test').choices(DELIVERY_TYPES))
    .action(async (id: string, { since, type, ...options }: RemoteOptions & { since: string; type?: DeliveryType }) => {
      const body = { since, ...(type !== undefined && { type }) };
      const answer = await connect(options).webhookEndpoints.redeliver(id, body);
      if (options.json) print(answer);
      else console.log(`sent again: ${answer.deliveries}`);
    });

  add('delete <id>', 'delete an endpoint').action(async (id: string, options: RemoteOptions) => {
    await connect(options).webhookEndpoints.delete(id);
    if (options.json) print({ id, deleted: true });
  });
  return group;
}

function stateOf({ enabled, disabled }: WebhookEndpoint): string {
  if (enabled) return 'enabled';
  return disabled === null ? 'disabled' : `disabled (${disabled.reason})`;
}

function show(endpoint: WebhookEndpoint, { json }: RemoteOptions): void {
  if (json) {
    print(endpoint);
    return;
  }
  const facts = [
    ['id', endpoint.id],
    ['url', endpoint.url],
    ['state', stateOf(endpoint)],
    ['events', endpoint.events.join(', ')],
    ...(endpoint.secret === undefined ? [] : [['secret', endpoint.secret]]),
  ];
  console.log(facts.map(([key = '', value]) => `${key.padEnd(12)}${value}`).join('\n'));
}
