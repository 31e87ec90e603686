import { getString, stringAttribute } from '@amalgam/onnx';
import type { Call, Rules } from '../rule.js';
import { type Dim, range } from '../types.js';

/** One letter per axis of each operand and of the result. */
export interface Equation {
  operands: string[];
  result: string;
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/**
 * An equation with its ellipsis written out in letters that it does not use, the last axes aligned, and with the
 * result that it implies. Null when operands have ellipses of different length, or letters run out.
 */
export function parseEquation(equation: string, ranks: readonly number[]): Equation | null {
  const [left, right] = equation.replaceAll(' ', '').split('->');
  const terms = left!.split(',');
  const lengths = terms.map((term, i) => (term.includes('...') ? ranks[i]! - (term.length - 3) : 0));
  const hidden = Math.max(0, ...lengths);
  if (terms.some((term, i) => term.includes('...') && lengths[i] !== hidden)) return null;
  const free = [...LETTERS].filter((letter) => !equation.includes(letter)).slice(0, hidden);
  if (free.length < hidden) return null;
  const operands = terms.map((term) => term.replace('...', free.join('')));
  if (right !== undefined) return { operands, result: right.replace('...', free.join('')) };
  const all = operands.join('');
  const once = [...new Set(all)].filter((letter) => all.split(letter).length === 2 && !free.includes(letter));
  return { operands, result: [...free, ...once.sort()].join('') };
}

/** d operand = einsum(dy, the other operands → operand); what is summed in one operand alone is spread again. */
export const EINSUM: Rules = {
  Einsum: (call) => {
    const { b, dy, node, refuse } = call;
    const ranks = node.input.map((input) => b.rank(input));
    const equation = parseEquation(getString(node, 'equation'), ranks);
    if (equation === null) throw refuse('its ellipsis stands for different numbers of axes');
    checkLetters(call, equation);
    const { operands, result } = equation;
    return operands.map((letters, index) => () => {
      const others = operands.filter((_, i) => i !== index);
      const inputs = [dy, ...node.input.filter((_, i) => i !== index)];
      const reached = new Set(result + others.join(''));
      const kept = [...letters].filter((letter) => reached.has(letter)).join('');
      const target = b.dims(node.input[index]!);
      const type = { dtype: b.dtype(dy), dims: [...kept].map((letter) => target[letters.indexOf(letter)]!) };
      const text = `${[result, ...others].join(',')}->${kept}`;
      const back = b.op('Einsum', inputs, type, [stringAttribute('equation', text)]);
      const ones = [...letters].map((letter, i): Dim => (reached.has(letter) ? target[i]! : 1));
      return b.expand(b.reshape(back, ones), target);
    });
  },
};

function checkLetters({ b, node, refuse }: Call, { operands, result }: Equation): void {
  const sizes = new Map<string, Dim>();
  for (const [i, letters] of [...operands, result].entries()) {
    if (new Set(letters).size < letters.length) throw refuse('a letter is twice in one operand of its equation');
    for (const axis of range(0, i < operands.length ? letters.length : 0)) {
      const size = b.dims(node.input[i]!)[axis]!;
      const known = sizes.get(letters[axis]!) ?? size;
      if (known !== size) throw refuse(`the letter ${letters[axis]} of its equation stands for ${known} and ${size}`);
      sizes.set(letters[axis]!, size);
    }
  }
}
