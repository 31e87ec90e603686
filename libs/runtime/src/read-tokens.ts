import type { TokenPlan, TokenRequest } from '@amalgam/tokenizers';
import { readInThread } from './reading-thread.js';
import type { TokenThreadData } from './token-thread.js';

/** Room for as many different large vocabularies as a recipe has models. */
const MAX_HEAP_MB = 4096;
const LIMIT_MS = 120_000;

type Sources = { source(path: string): { read: Read } };
type Read = (offset: number, length: number) => Promise<Uint8Array>;

/**
 * As `planTokens` of @amalgam/tokenizers, in a thread: tokenizers have up to 64 MB of JSON, and every model of a recipe has one.
 * `open`: the folder of an input, wherever it lies; called when a file of it is wanted.
 *
 * @throws AmalgamError as `planTokens`; `unavailable` when it takes too long
 */
export function readTokens(
  request: TokenRequest,
  labels: readonly string[],
  open: (input: number) => Promise<Sources>,
  limitMs: number = LIMIT_MS,
): Promise<TokenPlan> {
  const folders = new Map<number, Promise<Sources>>();
  const read = async (file: string, offset: number, length: number) => {
    const input = Number(file.slice(0, file.indexOf('/')));
    const folder = folders.get(input) ?? open(input);
    folders.set(input, folder);
    return (await folder).source(file.slice(file.indexOf('/') + 1)).read(offset, length);
  };
  const data: TokenThreadData = { request, labels: [...labels] };
  return readInThread({
    program: new URL('../dist/token-thread.js', import.meta.url),
    name: 'the tokenizers',
    data,
    read,
    invalid: 'invalid_checkpoint',
    maxHeapMb: MAX_HEAP_MB,
    limitMs,
  });
}
