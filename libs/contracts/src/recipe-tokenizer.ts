import { Reference } from './recipe-parts.js';
import { type Static, Type } from './schema.js';

/** The vocabulary of the result, and where the embeddings of its tokens come from. */

const closed = { additionalProperties: false };

export const TokenSource = Type.Union(
  [
    Reference,
    Type.Object(
      {
        kind: Type.Literal('model_token'),
        model: Reference,
        token: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
        token_id: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1 })),
      },
      closed,
    ),
    Type.Object({ kind: Type.Literal('zero') }, closed),
  ],
  { description: 'A model that has the token, another token of a model, or zeros' },
);

export const TokenizerRecipe = Type.Object(
  {
    source: Type.String({
      minLength: 1,
      maxLength: 8193,
      description: 'base, union (the base’s tokens, then what the models add), or one of the recipe’s models',
    }),
    tokens: Type.Optional(
      Type.Record(
        Type.String({ minLength: 1, maxLength: 1024 }),
        Type.Object(
          {
            source: TokenSource,
            force: Type.Optional(
              Type.Boolean({ description: 'Also for models that have the token themselves. Default false' }),
            ),
          },
          closed,
        ),
        { maxProperties: 100_000, description: 'Where single tokens get their embeddings' },
      ),
    ),
    pad_to_multiple_of: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'Rows of the embeddings are padded to a multiple' }),
    ),
  },
  closed,
);

export type TokenSource = Static<typeof TokenSource>;
export type TokenizerRecipe = Static<typeof TokenizerRecipe>;
