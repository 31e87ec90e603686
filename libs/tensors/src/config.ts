import { isUtf8 } from 'node:buffer';
import type { FolderFile, ReadableFolder } from './folder.js';

/** A parsed JSON object. */
export type JsonObject = Record<string, unknown>;

/** What a checkpoint says of itself beside its tensors: the files that planning needs, parsed. */
export interface CheckpointConfigs {
  /** config.json of transformers; null when there is none, or it is no JSON object of at most 1 MB. */
  config: JsonObject | null;
  /** adapter_config.json of PEFT, likewise. */
  adapterConfig: JsonObject | null;
}

export const NO_CONFIGS: Readonly<CheckpointConfigs> = { config: null, adapterConfig: null };

/** 700 kB with 22 000 class labels has been seen. */
export const MAX_CONFIG_BYTES = 2 ** 20;
/** Deeper ones could not be written to the database; transformers nests six levels. */
const MAX_DEPTH = 64;

/** Reads both configs at a folder's top level. Errors: those of the store; a config that cannot be parsed counts as none. */
export async function readConfigs(folder: ReadableFolder, files: readonly FolderFile[]): Promise<CheckpointConfigs> {
  const read = async (path: string): Promise<JsonObject | null> => {
    const file = files.find((candidate) => candidate.path === path);
    if (file === undefined || file.bytes > MAX_CONFIG_BYTES) return null;
    const source = folder.source(path);
    try {
      return parseConfig(await source.read(0, Math.min(await source.size(), MAX_CONFIG_BYTES)));
    } finally {
      await source.close?.();
    }
  };
  const [config, adapterConfig] = await Promise.all([read('config.json'), read('adapter_config.json')]);
  return { config, adapterConfig };
}

/** The object that the bytes hold, or null. Python's NaN and Infinity, which JSON has not, become null. */
export function parseConfig(bytes: Uint8Array): JsonObject | null {
  if (!isUtf8(bytes)) return null;
  const text = Buffer.from(bytes).toString('utf8');
  const value = tryParse(text) ?? tryParse(text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?Infinity|NaN/g, nullForNonFinite));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  return isShallow(value) ? (value as JsonObject) : null;
}

function nullForNonFinite(token: string): string {
  return token.startsWith('"') ? token : 'null';
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isShallow(root: object): boolean {
  let level: object[] = [root];
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    if (level.length === 0) return true;
    level = level.flatMap((value) =>
      Object.values(value).filter((inner) => typeof inner === 'object' && inner !== null),
    );
  }
  return false;
}
