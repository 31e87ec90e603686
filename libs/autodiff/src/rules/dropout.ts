import { fixedNumbers } from '../fixed.js';
import type { Rule } from '../rule.js';

/** Does nothing in inference. */
export const dropout: Rule = ({ b, dy, x: [, , training], refuse }) => {
  if (training !== '' && fixedNumbers(b, training)?.[0] !== 0) {
    throw refuse('training mode; export the model in eval mode');
  }
  return [() => dy];
};
