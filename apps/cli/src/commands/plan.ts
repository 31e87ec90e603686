import { describePlan, planMerge } from '@amalgam/engine';
import { Command } from 'commander';
import { checkLocalTasks, openRecipeInputs } from '../local-input.js';
import { parseBytes, parseCount } from '../options.js';
import { readRecipe } from '../recipe-file.js';
import { showPlan } from '../show.js';

export function planCommand(): Command {
  return new Command('plan')
    .description('Say what a recipe would do: tensors, bytes, memory. Reads headers only')
    .argument('<recipe>', 'YAML or JSON file; paths in it start from its folder')
    .option('--threads <n>', 'default: one per core, as far as --memory allows', parseCount)
    .option('--memory <bytes>', 'bound on resident memory, as 512MB', parseBytes)
    .option('--json', 'the plan as JSON')
    .action(async (path: string, options: { threads?: number; memory?: number; json?: boolean }) => {
      const { recipe, folder } = await readRecipe(path);
      const inputs = await openRecipeInputs(recipe, folder);
      const planned = planMerge(recipe, inputs, {
        ...(options.threads === undefined ? {} : { threads: options.threads }),
        ...(options.memory === undefined ? {} : { memoryBytes: options.memory }),
      });
      checkLocalTasks(inputs.tasks, planned);
      const plan = describePlan(planned);
      console.log(options.json ? JSON.stringify(plan, null, 2) : showPlan(plan));
    });
}
