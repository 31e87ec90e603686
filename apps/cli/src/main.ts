#!/usr/bin/env node
import { ASSET_KINDS, type AssetKind, isAmalgamError } from '@amalgam/contracts';
import { Command, CommanderError } from 'commander';
import { VERSION } from './version.js';

const assets = async (kind: AssetKind) => (await import('./commands/assets.js')).assetCommands(kind);

/** In the order of the help. Only the one that is asked for is loaded, as the engine takes longer to load than a service to answer. */
const COMMANDS = new Map<string, () => Promise<Command>>([
  ['serve', async () => (await import('./commands/serve.js')).serveCommand()],
  ['merge', async () => (await import('./commands/merge.js')).mergeCommand()],
  ['plan', async () => (await import('./commands/plan.js')).planCommand()],
  ['extract-lora', async () => (await import('./commands/extract-lora.js')).extractLoraCommand()],
  ['inspect', async () => (await import('./commands/inspect.js')).inspectCommand()],
  ['methods', async () => (await import('./commands/methods.js')).methodsCommand()],
  ['submit', async () => (await import('./commands/submit.js')).submitCommand()],
  ...ASSET_KINDS.map((kind) => [`${kind}s`, () => assets(kind)] as const),
  ['merges', async () => (await import('./commands/merges.js')).mergesCommand()],
  ['events', async () => (await import('./commands/events.js')).eventsCommand()],
  ['webhooks', async () => (await import('./commands/webhooks.js')).webhooksCommand()],
]);

const program = new Command('amalgam')
  .description('Merges models: here and now from local files, or as a service')
  .version(VERSION)
  .addHelpText('after', '\nExit codes: 0 done, 1 the merge failed, 2 the input is wrong.')
  .exitOverride();
const asked = COMMANDS.get(process.argv[2] ?? '');
for (const load of asked === undefined ? COMMANDS.values() : [asked]) {
  program.addCommand((await load()).exitOverride());
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** Says what went wrong on stderr, and returns the exit code for it. */
function report(error: unknown): number {
  // Commander has written its message; help and version are no failures.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (!isAmalgamError(error)) {
    console.error(error instanceof Error ? error.stack : error);
    return 1;
  }
  if (process.argv.includes('--json')) {
    console.error(JSON.stringify({ code: error.code, detail: error.detail, errors: error.errors }));
    return error.exitCode;
  }
  console.error(`amalgam: ${error.title}: ${error.detail}`);
  const further = error.errors.filter(({ detail }) => !error.detail.includes(detail));
  for (const { pointer, detail } of further) console.error(`  ${pointer}: ${detail}`);
  return error.exitCode;
}
