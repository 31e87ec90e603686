/** What the name of an adapter's tensor says. Modules are named without PEFT's "base_model.model.". */
export type AdapterName =
  /** A factor of a product: A has [rank, in], B [out, rank]; of an embedding [rank, rows] and [columns, rank]. */
  | { kind: 'factor'; module: string; factor: 'A' | 'B'; embedding: boolean; adapter: string }
  /** A whole tensor that takes the place of the base's of that name. */
  | { kind: 'whole'; name: string }
  /** The base's original that a wrapper keeps beside a trained copy. */
  | { kind: 'original' }
  | { kind: 'unknown'; reason: string };

const FACTOR = /^(.+)\.lora_([AB])(?:\.([^.]+))?\.weight$/;
const EMBEDDING_FACTOR = /^(.+)\.lora_embedding_([AB])(?:\.([^.]+))?$/;
/** The name of PEFT's wrapper, with the name of the adapter in some files. */
const SAVED_COPY = /\.modules_to_save(?:\.[^.]+)?(?=\.[^.]+$)/;

const UNKNOWN: readonly (readonly [RegExp, string])[] = [
  [/\.lora_magnitude_vector(\.|$)/, 'a magnitude of DoRA, which is not supported'],
  [/\.lora_B(\.[^.]+)?\.bias$/, 'a bias of B, which is not supported'],
  [/\.token_adapter\./, 'single rows of an embedding (trainable tokens), which are not supported'],
  [/(^|[._])lora[._](up|down)\b/, 'a factor as other programs than PEFT name it; convert the adapter to PEFT'],
  [/(^|\.)lora_/, 'no tensor that PEFT writes for a LoRA'],
];

export function parseAdapterName(name: string): AdapterName {
  const path = name.startsWith('base_model.model.') ? name.slice('base_model.model.'.length) : name;
  const linear = FACTOR.exec(path);
  const found = linear ?? EMBEDDING_FACTOR.exec(path);
  if (found !== null) {
    const [, module = '', factor = '', adapter = ''] = found;
    return { kind: 'factor', module, factor: factor === 'A' ? 'A' : 'B', embedding: linear === null, adapter };
  }
  const unknown = UNKNOWN.find(([pattern]) => pattern.test(path));
  if (unknown !== undefined) return { kind: 'unknown', reason: unknown[1] };
  if (/\.original_module\.[^.]+$/.test(path)) return { kind: 'original' };
  // A module that is adapted keeps its own tensors behind "base_layer": trained biases, embeddings saved along.
  return { kind: 'whole', name: path.replace(SAVED_COPY, '').replace(/\.base_layer(?=\.[^.]+$)/, '') };
}
