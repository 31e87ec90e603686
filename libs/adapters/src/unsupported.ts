import { type AmalgamError, quote } from '@amalgam/contracts';

/** Fields of adapter_config.json that, when they are set, make an adapter something else than base + scale · B A. */
const VARIANTS: Readonly<Record<string, string>> = {
  use_dora: 'DoRA also rescales the columns of the base',
  use_qalora: 'QALoRA pools the inputs of A',
  use_bdlora: 'block-diagonal factors are not supported',
  use_vera: 'VeRA shares its factors',
  lora_bias: 'biases of B are not supported',
  layer_replication: 'it repeats layers of the base',
  trainable_token_indices: 'it replaces single rows of embeddings',
  target_parameters: 'it adapts parameters that are not modules, such as stacked experts',
  alora_invocation_tokens: 'it is active for some tokens only, so it cannot become part of the weights',
  arrow_config: 'it routes between adapters, so it cannot become part of the weights',
  kasa_config: 'KaSA scales the rank-one parts of the product',
  monteclora_config: 'its factors are random',
};

/** Ways to begin a training that leave the base as it is. The others take from it what the adapter begins with. */
const PLAIN_STARTS: ReadonlySet<unknown> = new Set([true, false, null, undefined, 'gaussian', 'eva', 'orthogonal']);

/** @throws what `fail` makes, for a variant of LoRA that the formula base + scale · B A does not cover */
export function refuseUnsupported(json: Record<string, unknown>, fail: (problem: string) => AmalgamError): void {
  for (const [field, reason] of Object.entries(VARIANTS)) {
    if (isSet(json[field])) throw fail(`${field} is set, which is not supported: ${reason}`);
  }
  for (const [field, value] of Object.entries(json)) {
    if (field.startsWith('use_') && field !== 'use_rslora' && value === true) {
      throw fail(`${quote(field)} is set: a variant of LoRA that is not known here`);
    }
  }
  const start = json['init_lora_weights'];
  if (!PLAIN_STARTS.has(start)) {
    const shown = quote(String(start));
    throw fail(
      `init_lora_weights is ${shown}: such a training changes the base as well, so the adapter alone does not fit the plain base; ` +
        'save it with path_initial_model_for_weight_conversion, which makes it a plain LoRA',
    );
  }
}

function isSet(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}
