import type { RecipeModel } from '@amalgam/contracts';
import type { Reader } from './reader.js';

/** A model as mergekit's documents name it: `path[@revision][+adapter[@revision]]`, or the same in fields. */
export type Reference = Pick<RecipeModel, 'model' | 'adapter'>;

/** Undefined where it is missing or wrong; then the reader has the error. Paths and revisions stay as they are written. */
export function readReference(reader: Reader, value: unknown, pointer: string): Reference | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'object' && !Array.isArray(value)) return readFields(reader, value, pointer);
  const text = reader.text(value, pointer);
  if (text === undefined) return undefined;
  const [model, adapter, ...more] = text.split('+');
  if (more.length > 0) return reader.fail(pointer, `"${text}" has more than one +: a model takes one adapter`);
  for (const part of [model, adapter]) {
    if (part !== undefined && !isPath(part)) {
      return reader.fail(pointer, `"${text}" is not path[@revision], with or without +adapter[@revision]`);
    }
  }
  return { model: model!, ...(adapter === undefined ? {} : { adapter }) };
}

function readFields(reader: Reader, value: object, pointer: string): Reference | undefined {
  const fields = reader.object(value, pointer, ['model', 'lora', 'override_architecture'])!;
  if (!reader.required(fields['model'], `${pointer}/model`, '"model"')) return undefined;
  const model = readPath(reader, fields['model'], `${pointer}/model`);
  const adapter = readPath(reader, fields['lora'], `${pointer}/lora`);
  if (model === undefined) return undefined;
  return { model, ...(adapter === undefined ? {} : { adapter }) };
}

function readPath(reader: Reader, value: unknown, pointer: string): string | undefined {
  if (typeof value !== 'object' || value === null) {
    const text = reader.text(value, pointer);
    if (text === undefined || isPath(text)) return text;
    return reader.fail(pointer, `"${text}" is not path[@revision]`);
  }
  const fields = reader.object(value, pointer, ['path', 'revision']) ?? {};
  if (!reader.required(fields['path'], `${pointer}/path`, '"path"')) return undefined;
  const path = reader.text(fields['path'], `${pointer}/path`);
  const revision = reader.text(fields['revision'], `${pointer}/revision`);
  if (path === undefined) return undefined;
  return revision === undefined ? path : `${path}@${revision}`;
}

function isPath(text: string): boolean {
  const parts = text.split('@');
  return parts.length <= 2 && parts.every((part) => part !== '');
}
