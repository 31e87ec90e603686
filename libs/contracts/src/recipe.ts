import { OUT_DTYPES, type OutDtype } from './dtypes.js';
import { Modules, Slices } from './recipe-layers.js';
import { Parameters, Reference } from './recipe-parts.js';
import { TokenizerRecipe } from './recipe-tokenizer.js';
import { type Static, Type } from './schema.js';

export const RecipeModel = Type.Object(
  {
    model: Reference,
    adapter: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 4096,
        description: 'A LoRA adapter that is applied to the model while it is read: an id or path as of a checkpoint',
      }),
    ),
    name: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$',
        description: 'A short name for reports and for heads/<name>.safetensors; default: the checkpoint’s name',
      }),
    ),
    parameters: Type.Optional(Parameters),
  },
  { additionalProperties: false },
);

const DataReference = (what: string) =>
  Type.String({ minLength: 1, maxLength: 4096, description: `${what}: an id over the API; in the CLI a path` });

/** What a method learns from, and what any merge is judged by. */
export const RecipeTask = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$',
      description: 'Names the task in reports; different for each task',
    }),
    model: DataReference('The model that was fine-tuned for it, as among the recipe’s models'),
    graph: DataReference('ONNX model of the forward pass'),
    data: Type.Optional(DataReference('Dataset without labels that tuned methods learn from; labels are not read')),
    evaluation: Type.Optional(DataReference('Dataset to evaluate on, with labels for accuracy; default: `data`')),
    logits: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1024,
        description:
          'The graph’s output with the logits, [batch, classes] or [batch, positions, classes]; default: the only output, or `logits`',
      }),
    ),
    mask: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1024,
        description:
          'For token models: the input, or dataset tensor, [batch, positions] whose zeros leave positions out of the mean',
      }),
    ),
  },
  { additionalProperties: false },
);

/** Arithmetic is float32. */
const FACTOR = { minimum: -1e30, maximum: 1e30 };

/** LiNeS: task vectors scaled by depth. */
export const Modifier = Type.Object(
  {
    name: Type.Enum(['lines']),
    alpha: Type.Union([Type.Number(FACTOR), Type.Literal('auto')], { description: 'Factor of the first layer' }),
    beta: Type.Number({ ...FACTOR, description: 'What is added to it up to the last layer' }),
  },
  { additionalProperties: false },
);

const Globs = Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), { maxItems: 1000 });

/** What to merge and how (docs/recipes.md). */
export const Recipe = Type.Object(
  {
    method: Type.String({ minLength: 1, maxLength: 64, description: 'A name from GET /v1/methods' }),
    base: Type.Optional(Reference),
    models: Type.Array(RecipeModel, { minItems: 1, maxItems: 64 }),
    parameters: Type.Optional(Parameters),
    slices: Type.Optional(Slices),
    modules: Type.Optional(Modules),
    modifiers: Type.Optional(
      Type.Array(Modifier, { maxItems: 1, description: 'Change what the method makes of the task vectors' }),
    ),
    tokenizer: Type.Optional(TokenizerRecipe),
    chat_template: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 262_144,
        description: 'auto (the one that most models have), the name of a built-in one, or a Jinja template',
      }),
    ),
    dtype: Type.Optional(
      Type.Enum(['float32'], { description: 'Arithmetic; sums over a tensor use float64. Default float32' }),
    ),
    out_dtype: Type.Optional(
      Type.Enum(Object.keys(OUT_DTYPES) as OutDtype[], {
        description: 'Dtype of the floating-point tensors written; default: the base’s, tensor by tensor',
      }),
    ),
    shard_bytes: Type.Optional(
      Type.Integer({
        minimum: 1024,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Most tensor bytes of one output file; default 5000000000. A larger tensor gets a file of its own',
      }),
    ),
    tasks: Type.Optional(
      Type.Array(RecipeTask, {
        minItems: 1,
        maxItems: 64,
        description: 'For methods that learn from data, and to evaluate the result of any method',
      }),
    ),
    merge: Type.Optional(
      Type.Object(
        {
          include: Type.Optional(Globs),
          exclude: Type.Optional(Globs),
        },
        {
          additionalProperties: false,
          description: 'Narrows which tensors are merged, by globs on their names (* any characters, ? one)',
        },
      ),
    ),
  },
  { additionalProperties: false },
);
export type Recipe = Static<typeof Recipe>;
export type RecipeModel = Static<typeof RecipeModel>;
export type Modifier = Static<typeof Modifier>;
export type RecipeTask = Static<typeof RecipeTask>;

export const DEFAULT_SHARD_BYTES = 5_000_000_000;

/** How slices, modules and the tokenizer name a model of the recipe: `model`, or `model+adapter`. */
export function referenceOf({ model, adapter }: Pick<RecipeModel, 'model' | 'adapter'>): string {
  return adapter === undefined ? model : `${model}+${adapter}`;
}

/** What a slice's reference names: an index into the recipe's models, else the base; null: neither. */
export function findModel(recipe: Pick<Recipe, 'base' | 'models'>, reference: string): number | 'base' | null {
  const index = recipe.models.findIndex((model) => referenceOf(model) === reference);
  if (index >= 0) return index;
  return reference === recipe.base ? 'base' : null;
}
