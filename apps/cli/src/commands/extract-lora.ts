import { OUT_DTYPES, type OutDtype, type Recipe } from '@amalgam/contracts';
import { Command, InvalidArgumentError, Option } from 'commander';
import { planRecipe } from '../local-plan.js';
import { mergeInto } from '../merge-into.js';
import { parseBytes, parseCount } from '../options.js';

interface Options {
  base: string;
  model: string;
  rank: number;
  out: string;
  include?: string[];
  exclude?: string[];
  save?: string[];
  powerIterations?: number;
  seed?: number;
  dtype: OutDtype;
  threads?: number;
  memory?: number;
  digests: boolean;
  force?: boolean;
  json?: boolean;
}

export function extractLoraCommand(): Command {
  return new Command('extract-lora')
    .description('Make a LoRA adapter for PEFT from a full fine-tune, here and now (method extract_lora)')
    .requiredOption('--base <path>', 'what the model was fine-tuned from: a folder, or one .safetensors file')
    .requiredOption('--model <path>', 'the fine-tuned model')
    .requiredOption('--out <dir>', 'folder for the adapter; it appears when it is complete')
    .option('--rank <n>', 'of each module', parseWhole, 32)
    .option('--include <glob...>', 'tensors to take; default: the matrices of numbered layers')
    .option('--exclude <glob...>', 'tensors to leave out')
    .option('--save <glob...>', 'tensors to take along whole (modules_to_save)')
    .option('--power-iterations <n>', 'more come closer to the best product; default 2', parseWhole)
    .option('--seed <n>', 'of the randomised search; default 0', parseWhole)
    .addOption(
      new Option('--dtype <name>', 'of the factors')
        .choices(Object.keys(OUT_DTYPES))
        .default('float32' satisfies OutDtype),
    )
    .option('--threads <n>', 'default: one per core, as far as --memory allows', parseCount)
    .option('--memory <bytes>', 'bound on resident memory, as 512MB', parseBytes)
    .option('--no-digests', 'leave out the SHA-256 of inputs and outputs')
    .option('--force', 'replace what is in the folder')
    .option('--json', 'progress and result as JSON lines')
    .action((options: Options) =>
      mergeInto(() => planRecipe(toRecipe(options), process.cwd(), options), [], {
        ...options,
        device: 'auto',
        evaluation: false,
      }),
    );
}

function toRecipe({ base, model, rank, include, exclude, save, powerIterations, seed, dtype }: Options): Recipe {
  const selects = include !== undefined || exclude !== undefined;
  return {
    method: 'extract_lora',
    base,
    models: [{ model }],
    parameters: {
      rank,
      ...(save !== undefined && { save }),
      ...(powerIterations !== undefined && { power_iterations: powerIterations }),
      ...(seed !== undefined && { seed }),
    },
    ...(selects && { merge: { ...(include !== undefined && { include }), ...(exclude !== undefined && { exclude }) } }),
    out_dtype: dtype,
  };
}

function parseWhole(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('give a whole number from 0');
  return value;
}
