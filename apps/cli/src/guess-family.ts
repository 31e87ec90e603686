import type { CheckpointDescription } from '@amalgam/tensors';

/** What a checkpoint most likely is, when tensors have names that begin like this; the first that fits. */
const FAMILIES: readonly { family: string; prefixes: readonly string[] }[] = [
  { family: 'LoRA of Stable Diffusion or FLUX, as kohya’s scripts write it', prefixes: ['lora_unet_'] },
  { family: 'LoRA of a text encoder, as kohya’s scripts write it', prefixes: ['lora_te'] },
  { family: 'ControlNet', prefixes: ['control_model.'] },
  { family: 'ControlNet (diffusers)', prefixes: ['controlnet_cond_embedding.'] },
  { family: 'Stable Diffusion 3, one file', prefixes: ['model.diffusion_model.joint_blocks.'] },
  { family: 'FLUX, one file', prefixes: ['model.diffusion_model.double_blocks.'] },
  { family: 'FLUX transformer', prefixes: ['double_blocks.', 'single_blocks.'] },
  { family: 'FLUX transformer (diffusers)', prefixes: ['transformer_blocks.', 'single_transformer_blocks.'] },
  { family: 'Stable Diffusion 3 transformer (diffusers)', prefixes: ['transformer_blocks.', 'context_embedder.'] },
  { family: 'Stable Diffusion XL, one file', prefixes: ['model.diffusion_model.', 'conditioner.embedders.1.'] },
  { family: 'Stable Diffusion XL refiner, one file', prefixes: ['model.diffusion_model.', 'conditioner.embedders.0.'] },
  { family: 'Stable Diffusion 2, one file', prefixes: ['model.diffusion_model.', 'cond_stage_model.model.'] },
  { family: 'Stable Diffusion 1, one file', prefixes: ['model.diffusion_model.', 'cond_stage_model.transformer.'] },
  { family: 'diffusion model without text encoder, one file', prefixes: ['model.diffusion_model.'] },
  { family: 'Stable Diffusion XL UNet (diffusers)', prefixes: ['down_blocks.', 'mid_block.', 'add_embedding.'] },
  { family: 'Stable Diffusion UNet (diffusers)', prefixes: ['down_blocks.', 'mid_block.', 'time_embedding.'] },
  { family: 'autoencoder of images (diffusers)', prefixes: ['encoder.down_blocks.', 'decoder.up_blocks.'] },
  { family: 'autoencoder of images', prefixes: ['encoder.down.', 'decoder.up.'] },
  { family: 'CLIP, text and vision', prefixes: ['text_model.', 'vision_model.'] },
  { family: 'CLIP text encoder', prefixes: ['text_model.encoder.layers.'] },
];

/** What a config says it is (`architectures` of transformers, `_class_name` of diffusers), else what names tell; null: nothing. */
export function guessFamily({ config, tensors }: Pick<CheckpointDescription, 'config' | 'tensors'>): string | null {
  const architectures = config?.['architectures'];
  const said = Array.isArray(architectures) ? architectures[0] : config?.['_class_name'];
  if (typeof said === 'string') return said;
  const names = [...tensors.keys()];
  const has = (prefix: string): boolean => names.some((name) => name.startsWith(prefix));
  return FAMILIES.find(({ prefixes }) => prefixes.every(has))?.family ?? null;
}
