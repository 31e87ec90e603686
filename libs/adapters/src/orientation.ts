import type { CheckpointTensor } from '@amalgam/tensors';

type Tensors = ReadonlyMap<string, Pick<CheckpointTensor, 'shape'>>;

/**
 * Is a square weight stored [in, out], as GPT-2's Conv1D does, and not [out, in] as others? Its shape does not say, but those of
 * its block do: a bias has as many entries as its layer has outputs. Null where there is no evidence.
 */
export function inOutEvidence(tensors: Tensors): (name: string) => boolean | null {
  let found: Map<string, boolean> | undefined;
  return (name) => {
    found ??= gather(tensors);
    return found.get(blockOf(name)) ?? null;
  };
}

function gather(tensors: Tensors): Map<string, boolean> {
  const found = new Map<string, boolean>();
  for (const [name, { shape }] of tensors) {
    const [first, second] = shape;
    if (shape.length !== 2 || first === second || !name.endsWith('.weight') || found.has(blockOf(name))) continue;
    const bias = tensors.get(`${name.slice(0, -'weight'.length)}bias`)?.shape;
    if (bias?.length !== 1) continue;
    if (bias[0] === second) found.set(blockOf(name), true);
    else if (bias[0] === first) found.set(blockOf(name), false);
  }
  return found;
}

/** Up to the last number that is a whole part of the name: layers are of one kind in there. */
function blockOf(name: string): string {
  return /^(?:.*\.)?\d+\./.exec(name)?.[0] ?? '';
}
