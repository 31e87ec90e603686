import { type AmalgamError, quote } from '@amalgam/contracts';
import { RE2JS } from 're2js';

/** Values by module, as rank_pattern and alpha_pattern of PEFT give them. */
export interface PatternTable {
  /** Of the first key that matches the module's whole name, or its end behind a dot; undefined when none does. */
  find(module: string): number | undefined;
}

/** Lookups of regular expressions that one adapter may take; far above any real one, and still seconds at worst. */
const MOST_EXPRESSIONS = 1000;
const PLAIN = /^[A-Za-z0-9_.-]*$/;

/**
 * Keys are regular expressions to PEFT. Nearly all are plain names of modules, which are looked up (a dot stands for a dot
 * then, not for any character); the others run in an engine without backtracking, since whoever sends an adapter may write them.
 */
export function patternTable(
  entries: readonly (readonly [string, number])[],
  fail: (problem: string) => AmalgamError,
): PatternTable {
  const plain = new Map<string, { order: number; value: number }>();
  const expressions: { order: number; value: number; matches(name: string): boolean }[] = [];
  entries.forEach(([key, value], order) => {
    if (PLAIN.test(key)) plain.set(key, { order, value });
    else expressions.push({ order, value, matches: compile(key, fail) });
  });
  if (expressions.length > MOST_EXPRESSIONS) {
    throw fail(`has ${expressions.length} regular expressions; at most ${MOST_EXPRESSIONS} are allowed`);
  }
  return {
    find(module) {
      let found: { order: number; value: number } | undefined;
      for (const end of endsOf(module)) {
        const hit = plain.get(end);
        if (hit !== undefined && hit.order < (found?.order ?? Number.POSITIVE_INFINITY)) found = hit;
      }
      const earlier = expressions.find(
        ({ order, matches }) => order < (found?.order ?? Number.POSITIVE_INFINITY) && matches(module),
      );
      return (earlier ?? found)?.value;
    },
  };
}

function compile(key: string, fail: (problem: string) => AmalgamError): (name: string) => boolean {
  try {
    const expression = RE2JS.compile(`(.*\\.)?(${key})`);
    return (name) => expression.matches(name);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw fail(`${quote(key)} is not a regular expression that can be used here: ${reason}`);
  }
}

/** The name itself, and what follows each of its dots. */
function endsOf(name: string): string[] {
  const parts = name.split('.');
  return parts.map((_, i) => parts.slice(i).join('.'));
}
