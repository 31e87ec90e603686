import type { Recipe, TokenizerRecipe } from '@amalgam/contracts';
import { getMethod, hasParameter, levelsOf } from '@amalgam/methods';
import type { Document, Module, Parameters, Slice, Source } from './document.js';
import { METHODS, type Parameter, type Translation } from './names.js';
import { mapLeaves, ParameterTranslator } from './parameters.js';
import { Pointers } from './pointers.js';
import type { Reader } from './reader.js';

export interface Translated {
  recipe: Recipe;
  warnings: string[];
  pointers: Pointers;
}

/** A document as our recipe; what it lacks or has in the wrong place is told to the reader. */
export function translate(document: Document, reader: Reader): Translated {
  return new Translator(document, reader).run();
}

class Translator {
  private readonly method: Translation;
  private readonly pointers = new Pointers();
  private readonly parameters: ParameterTranslator;
  private readonly warnings: string[];
  /** mergekit's base of the whole document; where only slices name one, the first. */
  private readonly base: string | undefined;

  constructor(
    private readonly document: Document,
    private readonly reader: Reader,
  ) {
    this.method = METHODS[document.method]!;
    this.parameters = new ParameterTranslator(reader, this.pointers, document.method);
    this.warnings = [...document.warnings];
    this.base = document.base ?? this.allSlices().find(({ base }) => base !== undefined)?.base;
  }

  run(): Translated {
    const { document, pointers, base } = this;
    pointers.add('/method', '/merge_method');
    pointers.add('/base', '/base_model');
    if (base === undefined && this.method.baseOptional === undefined) {
      this.reader.fail('/base_model', `${document.method} needs a base_model`);
    }
    const top = document.models === undefined ? [] : this.merged(document.models);
    const names = this.names(top);
    // As one of the models the base is named once: the first model, as the base does, lends names, dtypes and side files.
    const isModel = base !== undefined && names.includes(base);
    const recipe: Recipe = {
      method: document.method,
      ...(base !== undefined && !isModel && { base }),
      models: names.map((name, i) => this.model(name, i, top)),
      parameters: {
        ...this.parameters.withDefaults(this.parameters.anywhere(document.parameters, '/parameters')),
        ...this.seed(),
      },
      ...(document.slices !== undefined && { slices: this.slices(document.slices, '/slices', []) }),
      ...(document.modules !== undefined && { modules: this.modules(document.modules) }),
      ...(document.outDtype !== undefined && { out_dtype: document.outDtype }),
      ...(document.tokenizer !== undefined && { tokenizer: this.tokenizer(document.tokenizer, names) }),
      ...(document.chatTemplate !== undefined && { chat_template: document.chatTemplate }),
    };
    this.requireParameters(top);
    this.tellDifferences(top, recipe);
    return { recipe, warnings: [...this.warnings, ...this.parameters.warnings], pointers };
  }

  private seed(): { seed?: number } {
    const { seed, method } = this.document;
    if (seed === null) return {};
    this.pointers.add('/parameters/seed', '/random_seed');
    if (hasParameter(getMethod(method), 'seed')) return { seed };
    this.warnings.push(`/random_seed: has no effect: ${method} leaves nothing to chance`);
    return {};
  }

  /** Of models that one list names: those that are merged, in our order. */
  private merged(sources: readonly Source[], base = this.base): Source[] {
    if (base === undefined) return [...sources];
    const others = sources.filter(({ model }) => model !== base);
    if (this.method.base === 'origin') return others;
    const own = sources.find(({ model }) => model === base);
    if (own !== undefined) return this.method.base === 'first' ? [own, ...others] : [...sources];
    if (this.method.base === 'first') {
      this.reader.fail(
        '/base_model',
        `${this.document.method} goes from one of its two models to the other: base_model must be among them`,
      );
    }
    return this.joins() ? [...sources, { model: base, parameters: undefined, pointer: '/base_model' }] : [...sources];
  }

  /** Is a base that the list does not name merged nevertheless? mergekit adds it, and linear fails where it has no weight. */
  private joins(): boolean {
    if (this.method.joins === 'always') return true;
    return this.method.joins === 'with weight' && this.document.parameters?.given['weight'] !== undefined;
  }

  /** The recipe's models, the base first where it is one of them. */
  private names(top: readonly Source[]): string[] {
    const { modules, slices } = this.document;
    const found = [
      ...top,
      ...Object.values(modules ?? {}).flatMap((module) => this.merged(module.models ?? [])),
      ...this.allSlices().flatMap((slice) => slice.sources.filter((source) => !this.isOrigin(source, slice))),
    ].map(({ model }) => model);
    // A slice's own base is read there, so it has to be among what the recipe names.
    const origins = this.method.base === 'origin' ? this.allSlices().flatMap(({ base }) => base ?? []) : [];
    const names = [...new Set([...found, ...origins.filter((name) => name !== this.base)])];
    if (names.length === 0) {
      const pointer = slices === undefined ? '/models' : '/slices';
      this.reader.fail(modules === undefined ? pointer : '/modules', 'nothing is named here besides the base');
    }
    if (this.base !== undefined && this.method.base === 'origin' && names.includes(this.base)) {
      const detail = `"${this.base}" is the base, and in a slice with another base it is one of the models: that is not supported`;
      this.reader.fail('/base_model', detail);
    }
    return names.sort((a, b) => Number(b === this.base) - Number(a === this.base));
  }

  private isOrigin({ model }: Source, { base }: Slice): boolean {
    return this.method.base === 'origin' && model === (base ?? this.base);
  }

  private model(name: string, i: number, top: readonly Source[]): Recipe['models'][number] {
    const source = top.find(({ model }) => model === name);
    if (source !== undefined) this.pointers.add(`/models/${i}`, source.pointer);
    const parameters = this.parameters.ofModel(source?.parameters, `/models/${i}/parameters`);
    return { ...this.document.references.get(name)!, ...(Object.keys(parameters).length > 0 && { parameters }) };
  }

  private slices(slices: readonly Slice[], at: string, around: readonly (Parameters | undefined)[]): Recipe['slices'] {
    return slices.map((slice, i) => {
      const here = `${at}/${i}`;
      this.pointers.add(here, slice.pointer);
      this.pointers.add(`${here}/base`, `${slice.pointer}/base_model`);
      const sources =
        this.method.base === 'first' ? this.merged(slice.sources, slice.base ?? this.base) : slice.sources;
      const merged = sources.filter((source) => !this.isOrigin(source, slice));
      this.requireWeights(merged, [slice.parameters, ...around]);
      this.requireGlobals([slice.parameters, ...around], slice.pointer);
      const models = merged.map(({ model }) => model);
      if (new Set(models).size < models.length) {
        this.warnings.push(
          `${slice.pointer}/sources: a model stands here twice, and is merged twice; in mergekit the last one counts`,
        );
      }
      const origin = this.method.base === 'origin' && slice.base !== this.base ? slice.base : undefined;
      return {
        sources: sources.map((source, j) => {
          this.pointers.add(`${here}/sources/${j}`, source.pointer);
          const parameters = this.parameters.ofModel(source.parameters, `${here}/sources/${j}/parameters`);
          return {
            model: source.model,
            ...(source.layerRange !== undefined && { layer_range: source.layerRange }),
            // mergekit asks nothing of the base's.
            ...(!this.isOrigin(source, slice) && Object.keys(parameters).length > 0 && { parameters }),
          };
        }),
        ...(origin !== undefined && { base: origin }),
        ...this.own(slice.parameters, here),
      };
    });
  }

  private modules(modules: Record<string, Module>): Recipe['modules'] {
    return Object.fromEntries(
      Object.entries(modules).map(([name, module]) => {
        const here = module.pointer;
        const models = module.models === undefined ? undefined : this.merged(module.models);
        if (models !== undefined) {
          this.requireWeights(models, [module.parameters]);
          this.requireGlobals([module.parameters], here);
        }
        return [
          name,
          {
            ...(module.slices !== undefined && {
              slices: this.slices(module.slices, `${here}/slices`, [module.parameters]),
            }),
            ...(models !== undefined && {
              models: models.map((source, i) => {
                this.pointers.add(`${here}/models/${i}`, source.pointer);
                const parameters = this.parameters.ofModel(source.parameters, `${here}/models/${i}/parameters`);
                return { model: source.model, ...(Object.keys(parameters).length > 0 && { parameters }) };
              }),
            }),
            ...this.own(module.parameters, here),
          },
        ];
      }),
    );
  }

  private own(parameters: Parameters | undefined, at: string): { parameters?: Record<string, unknown> } {
    const translated = this.parameters.anywhere(parameters, `${at}/parameters`);
    return Object.keys(translated).length > 0 ? { parameters: translated } : {};
  }

  /** mergekit's `base` without a base is its first model. */
  private tokenizer(tokenizer: TokenizerRecipe, names: readonly string[]): TokenizerRecipe {
    const isNamed = this.base !== undefined && !names.includes(this.base);
    return tokenizer.source === 'base' && !isNamed ? { ...tokenizer, source: names[0] ?? 'base' } : tokenizer;
  }

  private requireParameters(top: readonly Source[]): void {
    if (this.document.models === undefined) return;
    this.requireWeights(top, []);
    this.requireGlobals([], '');
  }

  private requireWeights(sources: readonly Source[], around: readonly (Parameters | undefined)[]): void {
    for (const { parameters, pointer } of sources) {
      const levels = [parameters, ...around, this.document.parameters];
      this.require(this.method.perModel, levels, `${pointer}/parameters`);
    }
  }

  private requireGlobals(around: readonly (Parameters | undefined)[], pointer: string): void {
    this.require(this.method.global, [...around, this.document.parameters], `${pointer}/parameters`);
  }

  private require(
    parameters: Record<string, Parameter>,
    levels: readonly (Parameters | undefined)[],
    pointer: string,
  ): void {
    for (const [name, { required }] of Object.entries(parameters)) {
      if (required !== true || levels.some((level) => (level?.given[name] ?? null) !== null)) continue;
      this.reader.fail(
        `${pointer}/${name}`,
        `${this.document.method} needs "${name}" here, or under "parameters" further out`,
      );
    }
  }

  private tellDifferences(top: readonly Source[], recipe: Recipe): void {
    const { method, base, document } = this;
    if (method.differs !== undefined) this.warnings.push(`${document.method}: ${method.differs}`);
    if (method.elects === true && isNormalized(recipe) && hasNegativeWeight(recipe)) {
      this.warnings.push(
        `${document.method}: negative weights subtract; mergekit turns their sign back where weights are normalized`,
      );
    }
    const isAverage = method.base === 'model' && method.joins !== 'always';
    if (isAverage && base !== undefined && document.models !== undefined && !top.some(({ model }) => model === base)) {
      this.warnings.push('/base_model: is not among the models, so it lends names, dtypes and side files only');
    }
  }

  private allSlices(): Slice[] {
    const { slices, modules } = this.document;
    return [...(slices ?? []), ...Object.values(modules ?? {}).flatMap((module) => module.slices ?? [])];
  }
}

function isNormalized({ parameters }: Recipe): boolean {
  return parameters?.['combine'] === 'mean' || (parameters?.['normalize'] ?? false) !== false;
}

function hasNegativeWeight(recipe: Recipe): boolean {
  const leaves: unknown[] = [];
  for (const { parameters } of levelsOf(recipe).all) mapLeaves(parameters['weight'], (leaf) => leaves.push(leaf));
  return leaves.some((leaf) => typeof leaf === 'number' && leaf < 0);
}
