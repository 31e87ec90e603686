// npm run docs:methods — writes docs/methods.md from the registry of methods; with --check it only tells whether the file is current.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describeMethod, listMethods, listModifiers } from '@amalgam/methods';

const path = fileURLToPath(new URL('../docs/methods.md', import.meta.url));
const MODIFIERS = [
  '## Modifiers',
  '',
  'A recipe’s `modifiers` change what its method adds to the base, whatever the method ([recipes](recipes.md)).',
  '',
];
const page = render(listMethods(), listModifiers());
if (!process.argv.includes('--check')) writeFileSync(path, page);
else if (readFileSync(path, 'utf8') !== page) {
  console.error('docs/methods.md is not what the registry says: npm run docs:methods');
  process.exitCode = 1;
}

function render(methods, modifiers) {
  const head = [
    '# Methods',
    '',
    '<!-- Written by `npm run docs:methods` from libs/methods: edit there. -->',
    '',
    'What every method computes, where it comes from, what it takes, and what differs from its paper, its authors’ code or mergekit. θ₀ is the base, θᵢ the models in the order of the recipe,',
    'τᵢ = θᵢ − θ₀ their task vectors, and formulas hold entry by entry unless they say otherwise. `GET /v1/methods/{name}` and `amalgam methods NAME` tell the same, with JSON Schemas.',
    '',
    'A parameter of a model stands with the model, or among the recipe’s `parameters` for all of them. Where *varies* says so, its place may take values that differ from tensor to tensor: *layers*',
    'by position in the layers (a gradient) or by the tensor’s name, *names* by name only ([recipes](recipes.md)).',
    '',
    '| method | what it does | base | models |',
    '|---|---|---|---|',
    ...methods.map(({ name, summary, base, models }) =>
      row([`[\`${name}\`](#${name})`, summary, base, showCount(models)]),
    ),
    '',
  ];
  const sections = [...methods.flatMap(section), ...MODIFIERS, ...modifiers.flatMap((one) => prose(one, '###'))];
  return `${[...head, ...sections].join('\n').trimEnd()}\n`;
}

function section(method) {
  const described = describeMethod(method);
  const rows = [
    ...parameterRows(method.modelParameters, described.model_parameters, 'model'),
    ...parameterRows(method.parameters, described.parameters, 'merge'),
  ];
  const table = ['| parameter | of | default | values | varies | |', '|---|---|---|---|---|---|', ...rows];
  const [top, notes] = [prose(method, '##', false), method.notes.map((note) => `- ${note}`)];
  return [...top, ...(rows.length === 0 ? ['It has no parameters.'] : table), '', ...notes, ''];
}

function prose({ name, summary, formula, source, notes }, heading, withNotes = true) {
  return [
    `${heading} ${name}`,
    '',
    `${summary}.`,
    '',
    '```text',
    ...formula.split(/; {2}/).map((part, i, all) => (i < all.length - 1 ? `${part};` : part)),
    '```',
    '',
    `Source: ${source}.`,
    '',
    ...(withNotes ? [...notes.map((note) => `- ${note}`), ''] : []),
  ];
}

function parameterRows(schema, described, of) {
  return Object.entries(schema.properties).map(([name, property]) =>
    row([
      `\`${name}\``,
      of,
      `\`${JSON.stringify(property.default)}\``,
      showValues(property),
      showVariation(described.properties[name]),
      property.description ?? '',
    ]),
  );
}

function showValues(schema) {
  if (schema.enum !== undefined) return schema.enum.join(', ');
  if (schema.anyOf !== undefined) return schema.anyOf.map(showValues).join(' or ');
  if (Array.isArray(schema.type)) return schema.type.map((type) => showValues({ ...schema, type })).join(' or ');
  if (schema.type === 'array') return `${schema.minItems} × ${showValues(schema.items)}`;
  return [schema.type, showRange(schema)].filter(Boolean).join(' ');
}

/** Bounds that only keep float32 finite are none to a reader. */
function showRange({ type, minimum, maximum, exclusiveMinimum, exclusiveMaximum }) {
  if (type !== 'number' && type !== 'integer') return '';
  const bound = (x) => (x === undefined || Math.abs(x) > 1e38 ? undefined : x);
  const low = bound(exclusiveMinimum) ?? bound(minimum);
  const high = bound(exclusiveMaximum) ?? bound(maximum);
  if (low === undefined && high === undefined) return '';
  if (high === undefined) return exclusiveMinimum === undefined ? `≥ ${low}` : `> ${low}`;
  if (low === undefined) return exclusiveMaximum === undefined ? `≤ ${high}` : `< ${high}`;
  return `in ${exclusiveMinimum === undefined ? '[' : '('}${low}, ${high}${exclusiveMaximum === undefined ? ']' : ')'}`;
}

function showVariation({ anyOf = [] }) {
  const titles = anyOf.map(({ title }) => title);
  if (titles.includes('gradient over the layers')) return 'layers';
  return titles.includes('value by name') ? 'names' : '';
}

function showCount({ minimum, maximum }) {
  if (maximum === minimum) return String(minimum);
  return maximum === null ? `${minimum} or more` : `${minimum} to ${maximum}`;
}

/** A row of a table; bars in cells are text. */
function row(cells) {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}
