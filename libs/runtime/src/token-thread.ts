import type { ReadableFolder } from '@amalgam/tensors';
import { planTokens, type TokenPlan, type TokenRequest } from '@amalgam/tokenizers';
import { answerReading, type ReadFile } from './answer-reading.js';

export interface TokenThreadData {
  request: TokenRequest;
  /** What messages call the inputs' folders. */
  labels: string[];
}

/** An input's folder; its files are asked for as `<input>/<path>`. */
function folderOf({ request, labels }: TokenThreadData, input: number, read: ReadFile): ReadableFolder {
  const label = labels[input] ?? '';
  const files = request.inputs[input]?.files ?? [];
  const bytes = new Map(files.map((file) => [file.path, file.bytes]));
  return {
    label,
    list: async () => [...files],
    source: (path) => ({
      name: `${label}/${path}`,
      size: async () => bytes.get(path) ?? 0,
      read: (offset, length) => read(`${input}/${path}`, offset, length),
    }),
    localPath: () => null,
  };
}

await answerReading(
  (data: TokenThreadData, read): Promise<TokenPlan> => planTokens(data.request, (input) => folderOf(data, input, read)),
);
