import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesSource, encodeSafetensors, readSafetensors, toFloat32 } from '@amalgam/tensors';
import { FAMILIES, writeModel } from '../../libs/architecture/test/models/index.js';
import { bpe } from '../../libs/tokenizers/test/support.js';

/** Small Llama models with tokenizers, and an adapter, as folders that recipes name. */

export const LAYERS = 8;
const LETTERS = [...'abcdefghijklmnopqrstuvwxyz'];
const MERGES = ['t h', 'th e', 'i n', 'a n', 'e r', 'r e'];

/** base, math, code, chat: one architecture and vocabulary, fine-tunes near the base; adapter: LoRA on the base. */
export async function writeTinyModels(folder: string): Promise<void> {
  const tokenizer = bpe(LETTERS, MERGES, [
    { id: LETTERS.length + MERGES.length, content: '<unk>' },
    { id: LETTERS.length + MERGES.length + 1, content: '<s>' },
  ]);
  for (const [seed, name] of ['base', 'math', 'code', 'chat'].entries()) {
    await writeModel(join(folder, name), FAMILIES.llama({ layers: LAYERS }), { seed });
    await writeFile(join(folder, name, 'tokenizer.json'), JSON.stringify(tokenizer));
    await writeFile(
      join(folder, name, 'tokenizer_config.json'),
      JSON.stringify({ unk_token: '<unk>', bos_token: '<s>' }),
    );
  }
  await writeAdapter(join(folder, 'adapter'));
}

/** Rank 2, alpha 4: what it adds is 2 · B A. */
async function writeAdapter(folder: string): Promise<void> {
  await mkdir(folder);
  const rank = 2;
  const { shapes } = FAMILIES.llama({ layers: LAYERS });
  const factors = Object.entries(shapes)
    .filter(([name]) => /self_attn\.(q|v)_proj\.weight$/.test(name))
    .flatMap(([name, shape]) => {
      const [rows = 0, columns = 0] = shape;
      const prefix = `base_model.model.${name.replace(/\.weight$/, '')}`;
      return [
        { name: `${prefix}.lora_A.weight`, shape: [rank, columns], data: steps(rank * columns, 0.02) },
        { name: `${prefix}.lora_B.weight`, shape: [rows, rank], data: steps(rows * rank, 0.03) },
      ];
    });
  const tensors = factors.map((tensor) => ({ ...tensor, dtype: 'F32' as const }));
  await writeFile(join(folder, 'adapter_model.safetensors'), encodeSafetensors(tensors, { format: 'pt' }));
  const config = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: 'base',
    r: rank,
    lora_alpha: 4,
    target_modules: ['q_proj', 'v_proj'],
    bias: 'none',
    fan_in_fan_out: false,
    modules_to_save: null,
  };
  await writeFile(join(folder, 'adapter_config.json'), JSON.stringify(config));
}

/** Values between ± scale that repeat with no period of a row's length. */
function steps(count: number, scale: number): Uint8Array {
  return new Uint8Array(Float32Array.from({ length: count }, (_, i) => scale * (((i * 7) % 11) / 5 - 1)).buffer);
}

export interface TinyTensor {
  dtype: string;
  shape: readonly number[];
  values: Float32Array;
}

/** Every tensor of a folder's safetensors files, in float32. */
export async function readTinyModel(folder: string): Promise<Map<string, TinyTensor>> {
  const tensors = new Map<string, TinyTensor>();
  for (const file of (await readdir(folder)).filter((name) => name.endsWith('.safetensors'))) {
    const all = await readSafetensors(bytesSource(file, await readFile(join(folder, file))));
    for (const [name, { dtype, shape, data }] of all)
      tensors.set(name, { dtype, shape, values: toFloat32(dtype, data) });
  }
  return tensors;
}
