import { PROVIDERS } from '@amalgam/tuning';
import { Command, Option } from 'commander';
import { planLocally } from '../local-plan.js';
import { type MergeOptions, mergeInto } from '../merge-into.js';
import { parseBytes, parseCount } from '../options.js';

export function mergeCommand(): Command {
  return new Command('merge')
    .description('Merge here and now, from local files to a local folder, without any service')
    .argument('<recipe>', 'YAML or JSON file, also mergekit’s; paths in it start from its folder')
    .requiredOption('--out <dir>', 'folder for the result; it appears when the merge is complete')
    .option('--threads <n>', 'default: one per core, as far as --memory allows', parseCount)
    .option('--memory <bytes>', 'bound on resident memory of the merge itself, as 512MB', parseBytes)
    .addOption(
      new Option('--device <name>', 'what a recipe’s tasks run on; auto: the best that works')
        .choices(['auto', ...PROVIDERS])
        .default('auto'),
    )
    .option('--no-evaluation', 'do not judge the result by the recipe’s tasks')
    .option('--no-digests', 'leave out the SHA-256 of inputs and outputs')
    .option('--force', 'replace what is in the folder')
    .option('--json', 'progress and result as JSON lines')
    .action((path: string, options: MergeOptions & { memory?: number }) =>
      mergeInto(() => planLocally(path, options), [path], options),
    );
}
