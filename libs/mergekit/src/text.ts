import { AmalgamError } from '@amalgam/contracts';
import { type Document, Lexer, parseDocument } from 'yaml';

/** The largest text of a recipe in a file, in bytes. */
export const LARGEST_RECIPE = 1 << 20;

/** Repeated uses of anchors, all together: a few lines can otherwise unfold into gigabytes. */
const MOST_ALIASES = 100;
/** The parser recurses, and dies of what is nested a few thousand times deeper. */
const MOST_LEVELS = 32;
/** The parser compares each key of a mapping with all others. */
const MOST_KEYS = 10_000;

/**
 * The value of a text in YAML, of which JSON is a part. Merge keys (`<<`) work as in YAML 1.1; a key that stands twice is an error.
 *
 * @param name begins every message
 * @throws AmalgamError `invalid_recipe` with line and rule
 */
export function parseRecipeText(text: string, name: string): unknown {
  checkTokens(text, name);
  const document = parseDocument(text, { uniqueKeys: true, merge: true });
  const [problem] = document.errors;
  if (problem?.code === 'MULTIPLE_DOCS') {
    throw wrong(
      name,
      'holds several documents (a line of three dashes divides them); each recipe needs a file of its own',
    );
  }
  if (problem !== undefined) throw wrong(name, problem.message.trim());
  const value = toValue(document, name);
  checkLevels(value, name);
  return value;
}

/** Bounds what the parser has to do, by the tokens alone. */
function checkTokens(text: string, name: string): void {
  let brackets = 0;
  let indicators = 0; // of collections on one line of a block, where `- - - a` nests
  let keys = 0;
  for (const token of new Lexer().lex(text)) {
    if (token === '[' || token === '{') brackets++;
    else if (token === ']' || token === '}') brackets--;
    else if (token === '\n' || token === '\r\n') indicators = 0;
    else if (token === '-' || token === '?' || token === ':') {
      if (token === ':') keys++;
      if (brackets <= 0) indicators++;
    }
    if (brackets > MOST_LEVELS || indicators > MOST_LEVELS) throw tooDeep(name);
    if (keys > MOST_KEYS) throw wrong(name, `has more than ${MOST_KEYS} keys`);
  }
}

/** Aliases are looked up only here: one that names no anchor is mostly a glob without its quotes. */
function toValue(document: Document.Parsed, name: string): unknown {
  try {
    return document.toJS({ maxAliasCount: MOST_ALIASES });
  } catch (cause) {
    if (!(cause instanceof ReferenceError)) throw cause;
    const hint = cause.message.startsWith('Unresolved') ? '; a text that begins with * needs quotes' : '';
    throw wrong(name, `${cause.message}${hint}`);
  }
}

/** An anchor inside of itself is endless. */
function checkLevels(value: unknown, name: string, level = 0): void {
  if (typeof value !== 'object' || value === null) return;
  if (level > MOST_LEVELS) throw tooDeep(name);
  for (const item of Object.values(value)) checkLevels(item, name, level + 1);
}

function tooDeep(name: string): AmalgamError {
  return wrong(name, `is nested deeper than ${MOST_LEVELS} levels`);
}

function wrong(name: string, rule: string): AmalgamError {
  return new AmalgamError('invalid_recipe', `${name}: ${rule}`);
}
