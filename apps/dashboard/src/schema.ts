/** A parameter of a method, in words. */
export interface Parameter {
  name: string;
  values: string;
  /** As JSON; null when there is none. */
  fallback: string | null;
  description: string;
}

type Json = Record<string, unknown>;

/** Every finite float32: a limit that says nothing to a person. */
const LARGEST = 3.4e38;

/** The parameters of a JSON Schema of an object, as the methods of the service have them. */
export function readParameters(schema: Json): Parameter[] {
  return Object.entries((schema['properties'] ?? {}) as Record<string, Json>).map(([name, property]) => ({
    name,
    values: showValues(property),
    fallback: 'default' in property ? JSON.stringify(property['default']) : null,
    description: String(property['description'] ?? ''),
  }));
}

/** What a schema allows, shortly: `number from 0 to 1`, `mean or sum`. */
export function showValues(schema: Json): string {
  const either = (schema['anyOf'] ?? schema['oneOf']) as Json[] | undefined;
  if (either !== undefined) return either.map(showValues).join(', or ');
  // What stands in a value's place: a gradient over the layers, say.
  if (typeof schema['title'] === 'string') return schema['title'];
  if ('const' in schema) return String(schema['const']);
  if (Array.isArray(schema['enum'])) return schema['enum'].map(String).join(' or ');
  const type = [schema['type'] ?? 'any'].flat().join(' or ');
  if (type === 'array') return `list${showItems(schema['items'])}`;
  return `${type}${showRange(schema)}`;
}

function showItems(items: unknown): string {
  if (Array.isArray(items)) return ` of ${items.map((item) => showValues(item as Json)).join(', ')}`;
  return typeof items === 'object' && items !== null ? ` of ${showValues(items as Json)}` : '';
}

function showRange(schema: Json): string {
  const limit = (name: string) => {
    const value = schema[name];
    return typeof value === 'number' && Math.abs(value) < LARGEST && Math.abs(value) < Number.MAX_SAFE_INTEGER
      ? value
      : undefined;
  };
  const least = limit('minimum');
  const most = limit('maximum');
  const above = limit('exclusiveMinimum');
  const below = limit('exclusiveMaximum');
  const words = [
    least === undefined ? [] : `from ${least}`,
    above === undefined ? [] : `above ${above}`,
    most === undefined ? [] : `to ${most}`,
    below === undefined ? [] : `below ${below}`,
  ].flat();
  return words.length === 0 ? '' : ` ${words.join(' ')}`;
}
