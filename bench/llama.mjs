// Writes checkpoints shaped like a Llama of about 0.7 billion parameters (hidden 1536, MLP 6144, 16 layers, vocabulary
// 32000), bfloat16 or float32, with values like real weights': a base of deviation 0.02 and fine-tunes that differ by about 0.001.
import { closeSync, mkdirSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { dtypeBytes } from '@amalgam/contracts';
import { Kernels } from '@amalgam/kernels';
import { encodeHeader } from '@amalgam/tensors';
import { deviates, PERIOD } from './deviates.mjs';

export const LLAMA = { hidden: 1536, mlp: 6144, layers: 16, vocabulary: 32000 };

export function llamaTensors({ hidden, mlp, layers, vocabulary } = LLAMA, dtype = 'BF16') {
  const tensors = [['model.embed_tokens.weight', [vocabulary, hidden]]];
  for (let i = 0; i < layers; i++) {
    const block = `model.layers.${i}`;
    for (const name of ['q', 'k', 'v', 'o']) tensors.push([`${block}.self_attn.${name}_proj.weight`, [hidden, hidden]]);
    tensors.push([`${block}.mlp.gate_proj.weight`, [mlp, hidden]], [`${block}.mlp.up_proj.weight`, [mlp, hidden]]);
    tensors.push([`${block}.mlp.down_proj.weight`, [hidden, mlp]]);
    tensors.push([`${block}.input_layernorm.weight`, [hidden]], [`${block}.post_attention_layernorm.weight`, [hidden]]);
  }
  tensors.push(['model.norm.weight', [hidden]], ['lm_head.weight', [vocabulary, hidden]]);
  return tensors.map(([name, shape]) => ({ name, dtype, shape }));
}

const kernels = new Kernels();
const floats = kernels.allocate(PERIOD * 4);
const narrowed = kernels.allocate(PERIOD * 4);

function encode(dtype, values) {
  kernels.floats(floats, values.length).set(values);
  kernels.narrow(dtype, floats, narrowed, values.length);
  return kernels.bytes(narrowed, values.length * dtypeBytes(dtype));
}

/**
 * Makes the named models below `dir` unless they are there, and returns their folders. The first is the base; the others are
 * fine-tunes of it, the same ones whatever their names are.
 */
export function makeLlamas(dir, names, { shape = LLAMA, dtype = 'BF16' } = {}) {
  const tensors = llamaTensors(shape, dtype);
  const width = dtypeBytes(dtype);
  const { header, begins, fileBytes } = encodeHeader(tensors, { format: 'pt' });
  const base = deviates(1, 0.02);
  return names.map((name, model) => {
    const folder = join(dir, name);
    const file = join(folder, 'model.safetensors');
    if (statSync(file, { throwIfNoEntry: false })?.size === fileBytes) return folder;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config(shape, dtype)));
    const delta = model === 0 ? null : deviates(100 + model, 0.001);
    const fd = openSync(file, 'w');
    writeSync(fd, header);
    tensors.forEach(({ shape: dims }, t) => {
      const elements = dims.reduce((n, size) => n * size, 1);
      // Every tensor starts elsewhere in the run, and the task vector elsewhere again.
      const at = (t * 7919) % PERIOD;
      for (let done = 0; done < elements; ) {
        const start = (at + done) % PERIOD;
        const count = Math.min(PERIOD - start, elements - done);
        const values = base.slice(start, start + count);
        if (delta !== null) for (let i = 0; i < count; i++) values[i] += delta[(start * 3 + i * 5 + t) & (PERIOD - 1)];
        writeSync(fd, encode(dtype, values), 0, count * width, begins[t] + done * width);
        done += count;
      }
    });
    closeSync(fd);
    return folder;
  });
}

function config({ hidden, mlp, layers, vocabulary }, dtype) {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: hidden,
    intermediate_size: mlp,
    num_hidden_layers: layers,
    num_attention_heads: Math.max(1, hidden / 128),
    num_key_value_heads: Math.max(1, hidden / 128),
    vocab_size: vocabulary,
    torch_dtype: dtype === 'BF16' ? 'bfloat16' : 'float32',
    tie_word_embeddings: false,
  };
}
