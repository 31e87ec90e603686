import { type TObject, type TSchema, Type } from '@amalgam/contracts';
import type { MergeMethod } from './definition.js';
import { type Variation, variationOf } from './varying.js';

/** The JSON Schemas of a method's parameters: as a recipe's values are checked, and as the API shows them. */

export interface ParameterSchemas {
  /** Of a recipe's own parameters, and of those of its slices and modules: the method's, and the models' for all of them. */
  anywhere: TObject;
  perModel: TObject;
}

/** Made once for each method: the validator compiles every schema object that it meets, and keeps what it compiled. */
const made = new WeakMap<MergeMethod, ParameterSchemas>();

export function schemasOf(method: MergeMethod): ParameterSchemas {
  let schemas = made.get(method);
  if (schemas === undefined) {
    const closed = { additionalProperties: false };
    schemas = {
      anywhere: Type.Object({ ...optional(method.parameters), ...optional(method.modelParameters) }, closed),
      perModel: Type.Object(optional(method.modelParameters), closed),
    };
    made.set(method, schemas);
  }
  return schemas;
}

function optional(schema: TObject): Record<string, TSchema> {
  return Object.fromEntries(Object.entries(schema.properties).map(([key, value]) => [key, Type.Optional(value)]));
}

export function hasParameter({ parameters, modelParameters }: MergeMethod, name: string): boolean {
  return Object.hasOwn(parameters.properties, name) || Object.hasOwn(modelParameters.properties, name);
}

/** How a parameter of the method may vary. What is learned from data is the same for all tensors before it is learned. */
export function parameterVariation(method: MergeMethod, property: TSchema): Variation {
  return method.tuned === undefined ? variationOf(property) : 'none';
}

/** The schema with what may stand in a parameter's place besides one value for all tensors. */
export function describeParameters(method: MergeMethod, schema: TObject): Record<string, unknown> {
  // TypeBox schemas are JSON Schemas with hidden marks, which a round trip through JSON drops.
  const plain = JSON.parse(JSON.stringify(schema)) as Record<string, unknown>;
  const properties = Object.entries(schema.properties).map(([name, property]) => [
    name,
    describeParameter(property, parameterVariation(method, property)),
  ]);
  return { ...plain, properties: Object.fromEntries(properties) as Record<string, unknown> };
}

function describeParameter(property: TSchema, variation: Variation): unknown {
  const { description, default: fallback, ...value } = JSON.parse(JSON.stringify(property)) as Record<string, unknown>;
  const about = {
    ...(description === undefined ? {} : { description }),
    ...('default' in property && { default: fallback }),
  };
  if (variation === 'none') return { ...value, ...about };
  const gradient = { title: 'gradient over the layers', type: 'array', items: value, minItems: 1 };
  const condition = {
    title: 'value by name',
    type: 'object',
    required: ['value'],
    properties: {
      value: variation === 'gradient' ? { anyOf: [value, gradient] } : value,
      filter: { type: 'string', minLength: 1, description: 'A part of the tensor’s name; * or absent: every tensor' },
    },
    additionalProperties: false,
  };
  const conditions = { title: 'values by name, the first that matches', type: 'array', items: condition, minItems: 1 };
  const forms = variation === 'gradient' ? [value, gradient, condition, conditions] : [value, condition, conditions];
  return { ...about, anyOf: forms };
}
