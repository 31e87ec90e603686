import { Parameters } from './recipe-parts.js';
import { type Static, Type } from './schema.js';

/** The layers and modules of a recipe: which layers of which models make up the result. */

const Named = Type.String({
  minLength: 1,
  maxLength: 8193,
  description: 'One of the recipe’s models, or its base, as named there; with an adapter: model+adapter',
});

export const SliceSource = Type.Object(
  {
    model: Named,
    layer_range: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0, maximum: 1_000_000 }), {
        minItems: 2,
        maxItems: 2,
        description: 'First layer, and the layer after the last one. Default: all layers',
      }),
    ),
    parameters: Type.Optional(Parameters),
  },
  { additionalProperties: false },
);

export const Slice = Type.Object(
  {
    sources: Type.Array(SliceSource, {
      minItems: 1,
      maxItems: 65,
      description: 'Equally many layers each; layer i of the slice is merged from layer i of each',
    }),
    base: Type.Optional(Named),
    parameters: Type.Optional(Parameters),
  },
  { additionalProperties: false, description: 'A run of layers of the result' },
);

export const ModuleModel = Type.Object(
  { model: Named, parameters: Type.Optional(Parameters) },
  { additionalProperties: false },
);

export const Slices = Type.Array(Slice, { minItems: 1, maxItems: 10_000, description: 'The layers of the result' });

export const Module = Type.Object(
  {
    slices: Type.Optional(Slices),
    models: Type.Optional(
      Type.Array(ModuleModel, { minItems: 1, maxItems: 64, description: 'Those that are merged here; default: all' }),
    ),
    parameters: Type.Optional(Parameters),
  },
  { additionalProperties: false },
);

export const Modules = Type.Record(Type.String({ minLength: 1, maxLength: 1024 }), Module, {
  maxProperties: 64,
  description:
    'Parts of a model with layers of their own (text_decoder, vision_tower), each with its own slices or models',
});

export type Slice = Static<typeof Slice>;
export type SliceSource = Static<typeof SliceSource>;
export type Module = Static<typeof Module>;
export type ModuleModel = Static<typeof ModuleModel>;
