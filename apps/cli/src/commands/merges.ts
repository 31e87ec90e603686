import { MERGE_STATES, type Merge, type MergeState, referenceOf } from '@amalgam/contracts';
import { Command, Option } from 'commander';
import { barProgress } from '../merge-progress.js';
import { parseCount, parseMetadata } from '../options.js';
import { connect, type RemoteOptions, withRemoteOptions } from '../remote/connect.js';
import { downloadFiles, refuseFullFolder } from '../remote/download-files.js';
import { followMerge, reportEnd } from '../remote/follow-merge.js';
import { print, take } from '../remote/output.js';
import { showTable } from '../show.js';
import { showFiles } from './assets.js';

interface ListOptions extends RemoteOptions {
  state?: MergeState;
  method?: string;
  name?: string;
  metadata?: Record<string, string>;
  limit: number;
}

/** `amalgam merges`: what a service was asked to merge. */
export function mergesCommand(): Command {
  const group = new Command('merges').description('The merges of a service').exitOverride();
  const add = (usage: string, description: string) => withRemoteOptions(group.command(usage).description(description));

  add('list', 'merges, the newest first')
    .addOption(new Option('--state <state>').choices(MERGE_STATES))
    .option('--method <name>')
    .option('--name <text>', 'a part of the name')
    .option('--metadata <key=value>', 'may come several times', parseMetadata)
    .option('--limit <n>', 'at most so many', parseCount, 20)
    .action(async ({ limit, url, json, ...query }: ListOptions) => {
      const found = await take(connect({ ...(url !== undefined && { url }) }).merges.list(query), limit);
      if (json) return print(found);
      const rows = found.map(({ id, state, method, created_at, name }) => [id, state, method, created_at, name ?? '–']);
      console.log(showTable(['id', 'state', 'method', 'created', 'name'], rows));
    });

  add('show <id>', 'one of them').action(async (id: string, options: RemoteOptions) => {
    show(await connect(options).merges.get(id), options);
  });

  add('wait <id>', 'follow it to its end; exit code 1 when it fails').action(
    async (id: string, options: RemoteOptions) => {
      reportEnd(await followMerge(connect(options), id, barProgress(), options), options);
    },
  );

  add('events <id>', 'what has happened; --follow: and what is to come')
    .option('--follow')
    .action(async (id: string, options: RemoteOptions & { follow?: boolean }) => {
      const { merges } = connect(options);
      const events = options.follow === true ? merges.events(id) : merges.pastEvents(id);
      for await (const event of events) {
        if (options.json) console.log(JSON.stringify(event));
        else console.log(`${event.created_at}  ${event.type.padEnd(16)}  ${JSON.stringify(event.data)}`);
      }
    });

  add('report <id>', 'the report of one that has succeeded, as JSON').action(
    async (id: string, options: RemoteOptions) => {
      print(await connect(options).merges.report(id));
    },
  );

  add('download <id>', 'copy the result’s files into a folder')
    .requiredOption('--out <dir>', 'must be empty or not there')
    .action(async (id: string, options: RemoteOptions & { out: string }) => {
      const { merges } = connect(options);
      await refuseFullFolder('--out', options.out);
      const files = await merges.files(id);
      await downloadFiles(merges.download, id, files, options.out);
      if (options.json) print({ out: options.out, files });
      else console.log(showFiles(files));
    });

  add('cancel <id>', 'cancel it: at once when it waits, soon when it runs').action(
    async (id: string, options: RemoteOptions) => {
      show(await connect(options).merges.cancel(id), options);
    },
  );

  add('retry <id>', 'queue a failed or canceled one again; finished shards are reused').action(
    async (id: string, options: RemoteOptions) => {
      show(await connect(options).merges.retry(id), options);
    },
  );
  return group;
}

function show(merge: Merge, { json }: RemoteOptions): void {
  if (json) {
    print(merge);
    return;
  }
  const facts = [
    ['id', merge.id],
    ['name', merge.name ?? '–'],
    ['state', stateOf(merge)],
    ['method', merge.method],
    ['base', merge.recipe.base ?? '–'],
    ...merge.recipe.models.map((model) => ['model', referenceOf(model)]),
    ['created', merge.created_at],
    ['finished', merge.finished_at ?? '–'],
    ...(merge.error === null ? [] : [['error', merge.error.detail]]),
    ...(merge.result === null ? [] : [['result', merge.result.checkpoint_id]]),
  ];
  console.log(facts.map(([key = '', value]) => `${key.padEnd(12)}${value}`).join('\n'));
  if (merge.result !== null) console.log(`\n${showFiles(merge.result.files)}`);
}

function stateOf({ state, progress, cancel_requested_at: canceling }: Merge): string {
  const stage = progress.stage === null ? state : `${state} (${progress.stage})`;
  return state === 'running' && canceling !== null ? `${stage}, to be canceled` : stage;
}
