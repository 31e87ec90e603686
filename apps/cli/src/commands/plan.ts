import { describePlan } from '@amalgam/engine';
import { Command } from 'commander';
import { planLocally } from '../local-plan.js';
import { parseBytes, parseCount } from '../options.js';
import { showPlan } from '../show.js';

export function planCommand(): Command {
  return new Command('plan')
    .description('Say what a recipe would do: tensors, bytes, memory. Reads headers only')
    .argument('<recipe>', 'YAML or JSON file, also mergekit’s; paths in it start from its folder')
    .option('--threads <n>', 'default: one per core, as far as --memory allows', parseCount)
    .option('--memory <bytes>', 'bound on resident memory, as 512MB', parseBytes)
    .option('--json', 'the plan as JSON')
    .action(async (path: string, options: { threads?: number; memory?: number; json?: boolean }) => {
      const { plan: planned } = await planLocally(path, options);
      const plan = describePlan(planned);
      console.log(options.json ? JSON.stringify(plan, null, 2) : showPlan(plan));
    });
}
