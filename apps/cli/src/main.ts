#!/usr/bin/env node
import { ASSET_KINDS, isAmalgamError } from '@amalgam/contracts';
import { Command, CommanderError } from 'commander';
import { assetCommands } from './commands/assets.js';
import { eventsCommand } from './commands/events.js';
import { extractLoraCommand } from './commands/extract-lora.js';
import { inspectCommand } from './commands/inspect.js';
import { mergeCommand } from './commands/merge.js';
import { mergesCommand } from './commands/merges.js';
import { methodsCommand } from './commands/methods.js';
import { planCommand } from './commands/plan.js';
import { serveCommand } from './commands/serve.js';
import { submitCommand } from './commands/submit.js';
import { webhooksCommand } from './commands/webhooks.js';
import { VERSION } from './version.js';

const program = new Command('amalgam')
  .description('Merges models: here and now from local files, or as a service')
  .version(VERSION)
  .addHelpText('after', '\nExit codes: 0 done, 1 the merge failed, 2 the input is wrong.')
  .exitOverride();
program.addCommand(serveCommand());
program.addCommand(mergeCommand());
program.addCommand(planCommand());
program.addCommand(extractLoraCommand());
program.addCommand(inspectCommand());
program.addCommand(methodsCommand());
program.addCommand(submitCommand());
for (const kind of ASSET_KINDS) program.addCommand(assetCommands(kind));
program.addCommand(mergesCommand());
program.addCommand(eventsCommand());
program.addCommand(webhooksCommand());
for (const command of program.commands) command.exitOverride();

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
