import { type Recipe, referenceOf, suggest } from '@amalgam/contracts';
import { ALL_PARAMETERS, METHODS } from './names.js';
import type { Reader } from './reader.js';
import { type Reference, readReference } from './reference.js';
import { readTokenizer } from './tokenizer.js';

/** A document of mergekit with every field checked by itself; models are named by `referenceOf`. */
export interface Document {
  method: string;
  base: string | undefined;
  models: Source[] | undefined;
  slices: Slice[] | undefined;
  modules: Record<string, Module> | undefined;
  parameters: Parameters | undefined;
  outDtype: Recipe['out_dtype'];
  tokenizer: Recipe['tokenizer'];
  chatTemplate: string | undefined;
  /** Of random masks; null: the method's own. */
  seed: number | null;
  /** What the document names, each once, in its order. */
  references: Map<string, Reference>;
  warnings: string[];
}

export type Parameters = { given: Record<string, unknown>; pointer: string };

export interface Source {
  model: string;
  layerRange?: number[];
  parameters: Parameters | undefined;
  pointer: string;
}

export interface Slice {
  sources: Source[];
  base: string | undefined;
  parameters: Parameters | undefined;
  pointer: string;
}

export interface Module {
  models: Source[] | undefined;
  slices: Slice[] | undefined;
  parameters: Parameters | undefined;
  pointer: string;
}

const TOP = [
  'merge_method',
  'models',
  'slices',
  'modules',
  'base_model',
  'dtype',
  'out_dtype',
  'tokenizer_source',
  'tokenizer',
  'chat_template',
  // No key of mergekit's, which passes over it (there it is an option of the command line), but of many published documents.
  'random_seed',
  'parameters',
];

/** Models of a recipe, and its base. */
const MOST_NAMED = 65;

const DTYPES = ['bfloat16', 'float16', 'float32'] as const;

/** Undefined where a field that everything hangs on is wrong; the reader has all errors. */
export function readDocument(reader: Reader, value: unknown): Document | undefined {
  if (typeof value === 'object' && value !== null && Object.hasOwn(value, 'experts')) {
    return reader.fail('/experts', 'mixtures of experts, which mergekit-moe makes, are not supported');
  }
  const fields = reader.object(value, '', TOP, (key) => misplaced(key, 'a model or of the document'));
  if (fields === undefined) return undefined;
  const references = new Map<string, Reference>();
  const name = (reference: Reference | undefined): string | undefined => {
    if (reference === undefined) return undefined;
    const named = referenceOf(reference);
    if (!references.has(named)) references.set(named, reference);
    return named;
  };
  const walk = new Walk(reader, name);

  const method = readMethod(reader, fields['merge_method']);
  const base = readReference(reader, fields['base_model'], '/base_model');
  if (base?.adapter !== undefined) {
    reader.fail(
      '/base_model',
      'a base with an adapter is not supported: merge the adapter into it first (passthrough)',
    );
  }
  const named = {
    base: name(base),
    ...walk.inputs(fields, '', ['models', 'slices', 'modules']),
    modules: walk.modules(fields['modules']),
  };
  if (references.size > MOST_NAMED) {
    reader.fail('', `names ${references.size} models, more than a base and ${MOST_NAMED - 1} others`);
    return undefined;
  }
  const document = {
    ...named,
    parameters: walk.parameters(fields['parameters'], '/parameters'),
    outDtype: readDtypes(reader, fields),
    tokenizer: readTokenizer(reader, fields, [...references.keys()]),
    chatTemplate: reader.text(fields['chat_template'], '/chat_template'),
    seed: reader.count(fields['random_seed'], '/random_seed', 0) ?? null,
    references,
    warnings: walk.warnings,
  };
  return method === undefined ? undefined : { method, ...document };
}

function readMethod(reader: Reader, value: unknown): string | undefined {
  if (!reader.required(value, '/merge_method', '"merge_method"')) return undefined;
  const method = reader.text(value, '/merge_method');
  if (method === undefined || Object.hasOwn(METHODS, method)) return method;
  return reader.fail('/merge_method', `there is no method "${method}"${suggest(method, Object.keys(METHODS))}`);
}

function readDtypes(reader: Reader, fields: Record<string, unknown>): Recipe['out_dtype'] {
  const [dtype, outDtype] = ['dtype', 'out_dtype'].map((key) => {
    const text = reader.text(fields[key], `/${key}`)?.replace(/^torch\./, '');
    const found = DTYPES.find((known) => known === text);
    if (text !== undefined && found === undefined) {
      reader.fail(
        `/${key}`,
        `"${text}" is none of ${DTYPES.join(', ')}${suggest(text, DTYPES).replace(/^; known.*/, '')}`,
      );
    }
    return found;
  });
  return outDtype ?? dtype;
}

function misplaced(key: string, of: string): string | null {
  if (ALL_PARAMETERS.has(key)) return `${key} is a parameter: it belongs under the "parameters" of ${of}`;
  if (key === 'input_model_parameters') return 'is of an older version: a model’s parameters stand with the model';
  if (key === 'layer_range') return 'layer_range belongs to the sources of slices';
  return null;
}

class Walk {
  readonly warnings: string[] = [];

  constructor(
    private readonly reader: Reader,
    private readonly name: (reference: Reference | undefined) => string | undefined,
  ) {}

  /** Exactly one of the keys tells what is merged; modules are read apart. */
  inputs(fields: Record<string, unknown>, at: string, keys: string[]): Pick<Module, 'models' | 'slices'> {
    const given = keys.filter((key) => fields[key] !== undefined && fields[key] !== null);
    if (given.length === 0) this.reader.fail(at, `one of ${keys.join(', ')} is required`);
    for (const key of given.slice(1)) {
      this.reader.fail(`${at}/${key}`, `a document has one of ${keys.join(', ')}, and ${given[0]} stands here already`);
    }
    const models = this.reader
      .list(fields['models'], `${at}/models`)
      ?.flatMap((item, i) => this.source(item, `${at}/models/${i}`, ['model', 'parameters']));
    if (models !== undefined) this.refuseTwice(models);
    return { models, slices: this.slices(fields['slices'], `${at}/slices`) };
  }

  modules(value: unknown): Record<string, Module> | undefined {
    const fields = this.reader.mapping(value, '/modules');
    if (fields === undefined) return undefined;
    const entries = Object.entries(fields).flatMap(([key, item]): [string, Module][] => {
      const pointer = `/modules/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      const known = ['slices', 'models', 'parameters'];
      const own = this.reader.object(item, pointer, known, (name) => misplaced(name, 'the module')) ?? {};
      const parameters = this.parameters(own['parameters'], `${pointer}/parameters`);
      return [[key, { ...this.inputs(own, pointer, ['models', 'slices']), parameters, pointer }]];
    });
    return Object.fromEntries(entries);
  }

  parameters(value: unknown, pointer: string): Parameters | undefined {
    const given = this.reader.mapping(value, pointer);
    return given === undefined ? undefined : { given, pointer };
  }

  private slices(value: unknown, at: string): Slice[] | undefined {
    return this.reader.list(value, at)?.flatMap((item, i) => {
      const pointer = `${at}/${i}`;
      const known = ['sources', 'base_model', 'parameters', 'residual_weight'];
      const fields = this.reader.object(item, pointer, known, (key) => misplaced(key, 'the slice'));
      if (fields === undefined) return this.empty(pointer);
      this.reader.required(fields['sources'], `${pointer}/sources`, '"sources"');
      const sources = this.reader.list(fields['sources'], `${pointer}/sources`) ?? [];
      if ('residual_weight' in fields) {
        this.warnings.push(`${pointer}/residual_weight: has no effect, as in mergekit`);
      }
      return {
        sources: sources.flatMap((source, j) =>
          this.source(source, `${pointer}/sources/${j}`, ['model', 'layer_range', 'parameters']),
        ),
        base: this.name(readReference(this.reader, fields['base_model'], `${pointer}/base_model`)),
        parameters: this.parameters(fields['parameters'], `${pointer}/parameters`),
        pointer,
      };
    });
  }

  private source(item: unknown, pointer: string, known: string[]): Source[] {
    const fields = this.reader.object(item, pointer, known, (key) => misplaced(key, 'the model'));
    if (fields === undefined) return this.empty(pointer);
    if (!this.reader.required(fields['model'], `${pointer}/model`, '"model"')) return [];
    const model = this.name(readReference(this.reader, fields['model'], `${pointer}/model`));
    const layerRange = known.includes('layer_range')
      ? this.layerRange(fields['layer_range'], `${pointer}/layer_range`)
      : undefined;
    const parameters = this.parameters(fields['parameters'], `${pointer}/parameters`);
    return model === undefined ? [] : [{ model, parameters, pointer, ...(layerRange && { layerRange }) }];
  }

  /** In a list, nothing is something that is missing. */
  private empty(pointer: string): [] {
    if (!this.reader.errors.some((error) => error.pointer === pointer)) this.reader.fail(pointer, 'is empty');
    return [];
  }

  private layerRange(value: unknown, pointer: string): number[] | undefined {
    const range = this.reader.list(value, pointer);
    if (range === undefined) return undefined;
    if (range.length !== 2)
      return this.reader.fail(pointer, 'is two numbers: first layer, and the layer after the last one');
    const [from, to] = range.map((item, i) => this.reader.count(item, `${pointer}/${i}`, 0));
    return from === undefined || to === undefined ? undefined : [from, to];
  }

  private refuseTwice(models: Source[]): void {
    const seen = new Map<string, Source>();
    for (const source of models) {
      const first = seen.get(source.model);
      if (first === undefined) seen.set(source.model, source);
      else this.reader.fail(`${source.pointer}/model`, `"${source.model}" stands at ${first.pointer} already`);
    }
  }
}
