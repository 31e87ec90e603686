import { AmalgamError, quote } from '@amalgam/contracts';
import type { CheckpointDescription } from '@amalgam/tensors';
import { type PatternTable, patternTable } from './patterns.js';
import { refuseUnsupported } from './unsupported.js';

/** adapter_config.json of PEFT, as far as it says what an adapter does to its base. */
export interface AdapterConfig {
  rank: number;
  alpha: number;
  /** By module, where they differ. */
  rankPattern: PatternTable;
  alphaPattern: PatternTable;
  /** Rank-stabilised: the scale is alpha / sqrt(rank), not alpha / rank. */
  rankStabilised: boolean;
  /** Weights of targets are stored [in, out]. PEFT keeps the last module's, so it decides only where nothing else does. */
  fanInFanOut: boolean;
  /** Names of modules, or their ends, that were trained whole. */
  modulesToSave: ReadonlySet<string>;
  baseModel: string | null;
  taskType: string | null;
}

type Json = Record<string, unknown>;

/**
 * Reads the config of a LoRA adapter from its description. `label` is what messages call it.
 *
 * @throws AmalgamError `invalid_checkpoint` naming the field and the rule: another peft_type, or a variant whose result is not
 * base + scale · B A
 */
export function readAdapterConfig(
  checkpoint: Pick<CheckpointDescription, 'adapterConfig'>,
  label = 'the adapter',
): AdapterConfig {
  const file = `${label}/adapter_config.json`;
  const fail = (problem: string): AmalgamError => new AmalgamError('invalid_checkpoint', `${file}: ${problem}`);
  const json = checkpoint.adapterConfig;
  if (json === null) throw fail('is missing, or is not a JSON object of at most 1 MB');
  const type = json['peft_type'];
  if (type !== 'LORA') throw fail(`peft_type must be "LORA", not ${show(type)}`);
  refuseUnsupported(json, fail);

  const rank = json['r'] ?? 8;
  if (!isRank(rank)) throw fail(`r must be a whole number from 1, not ${show(rank)}`);
  const alpha = json['lora_alpha'] ?? 8;
  if (!isNumber(alpha)) throw fail(`lora_alpha must be a number, not ${show(alpha)}`);
  return {
    rank,
    alpha,
    rankPattern: readPattern(json, 'rank_pattern', isRank, 'whole numbers from 1', fail),
    alphaPattern: readPattern(json, 'alpha_pattern', isNumber, 'numbers', fail),
    rankStabilised: json['use_rslora'] === true,
    fanInFanOut: json['fan_in_fan_out'] === true,
    modulesToSave: new Set(readNames(json['modules_to_save'])),
    baseModel: readText(json['base_model_name_or_path']),
    taskType: readText(json['task_type']),
  };
}

/** What a module's product B A is multiplied by. Modules are named without "base_model.model.". */
export function scaleOf(config: AdapterConfig, module: string): { rank: number; scale: number } {
  const rank = config.rankPattern.find(module) ?? config.rank;
  const alpha = config.alphaPattern.find(module) ?? config.alpha;
  return { rank, scale: alpha / (config.rankStabilised ? Math.sqrt(rank) : rank) };
}

function readPattern(
  json: Json,
  field: string,
  isValue: (value: unknown) => value is number,
  wanted: string,
  fail: (problem: string) => AmalgamError,
): PatternTable {
  const value = json[field] ?? {};
  if (typeof value !== 'object' || Array.isArray(value)) throw fail(`${field} must be an object, not ${show(value)}`);
  const entries = Object.entries(value as Json).map(([key, given]): [string, number] => {
    if (!isValue(given)) throw fail(`${field} must hold ${wanted}: ${quote(key)} has ${show(given)}`);
    return [key, given];
  });
  return patternTable(entries, (problem) => fail(`${field}: ${problem}`));
}

function readText(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function readNames(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : [];
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isRank(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

function show(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 120);
}
