import { showValues } from '../schema.js';

/** How a parameter is asked for. */
export interface FieldSpec {
  name: string;
  kind: 'choice' | 'boolean' | 'number' | 'json';
  /** Of a choice. */
  options: readonly string[];
  /** A list of numbers varies it over the layers. */
  gradient: boolean;
  /** Its values, in words. */
  values: string;
  /** As it is typed; empty when there is none. */
  fallback: string;
  description: string;
}

type Json = Record<string, unknown>;

/** Fields of a form for the JSON Schema of a method's parameters. */
export function readFields(schema: Json): FieldSpec[] {
  return Object.entries((schema['properties'] ?? {}) as Record<string, Json>).map(([name, property]) => {
    const forms = alternatives(property);
    const plain = forms.filter((form) => form['title'] === undefined);
    const kinds = new Set(plain.map(kindOf));
    kinds.delete(null);
    const [only = 'json', ...others] = kinds;
    return {
      name,
      kind: others.length === 0 ? (only ?? 'json') : 'json',
      options: plain.flatMap((form) => (Array.isArray(form['enum']) ? form['enum'].map(String) : [])),
      gradient: forms.some((form) => form['type'] === 'array' && form['title'] === 'gradient over the layers'),
      values: plain.map(showValues).join(', or '),
      fallback: 'default' in property ? showSetting(property['default']) : '',
      description: String(property['description'] ?? ''),
    };
  });
}

/** The schemas of which a value meets any. */
function alternatives(schema: Json): Json[] {
  const either = (schema['anyOf'] ?? schema['oneOf']) as Json[] | undefined;
  return either === undefined ? [schema] : either.flatMap((form) => (form['title'] ? [form] : alternatives(form)));
}

/** Null for null, which says nothing about how the rest is asked for. */
function kindOf(schema: Json): FieldSpec['kind'] | null {
  if (schema['type'] === 'null') return null;
  if (Array.isArray(schema['enum'])) return 'choice';
  if (schema['type'] === 'boolean') return 'boolean';
  return schema['type'] === 'number' || schema['type'] === 'integer' ? 'number' : 'json';
}

/** A parameter's value as it is typed: numbers of a gradient with commas between them, anything else as JSON. */
export function showSetting(value: unknown): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return value;
  if (Array.isArray(value) && value.length > 1 && value.every((item) => typeof item === 'number')) {
    return value.join(', ');
  }
  return JSON.stringify(value);
}

/** What was typed, as a value: undefined for nothing. What cannot be read stays a text, and the service says what is wrong with it. */
export function readSetting(text: string, kind: FieldSpec['kind']): unknown {
  const trimmed = text.trim();
  if (trimmed === '') return undefined;
  if (kind === 'choice') return trimmed;
  const parts = trimmed.split(',').map((part) => part.trim());
  if (parts.every((part) => part !== '' && Number.isFinite(Number(part)))) {
    const numbers = parts.map(Number);
    return numbers.length === 1 ? numbers[0] : numbers;
  }
  try {
    return JSON.parse(trimmed);
  } catch {
    return trimmed;
  }
}
