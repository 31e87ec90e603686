import { Type } from './schema.js';

/** Parameters whose names and ranges depend on the method; the method's own schema checks them. */
export const Parameters = Type.Record(Type.String(), Type.Unknown(), {
  description:
    "The method's parameters; GET /v1/methods/{name} gives their JSON Schema. Many may vary by tensor (docs/recipes.md)",
});

export const Reference = Type.String({
  minLength: 1,
  maxLength: 4096,
  description: 'A checkpoint: an id over the API; in the CLI also a path, relative to the recipe file',
});
