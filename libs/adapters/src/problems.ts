import { AmalgamError } from '@amalgam/contracts';

/** Most problems that an answer lists; a wrong adapter can have thousands. */
const MOST_PROBLEMS = 100;

export interface Problem {
  code: 'invalid_checkpoint' | 'tensor_missing' | 'shape_mismatch' | 'dtype_unsupported';
  detail: string;
}

/** One error for all of them, with the code and words of the first. */
export function problemError(problems: readonly Problem[], label: string, pointer: string | undefined): AmalgamError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  const errors = problems
    .slice(0, MOST_PROBLEMS)
    .map(({ detail }) => ({ pointer: pointer ?? '', detail: `${label}: ${detail}` }));
  return new AmalgamError(first?.code ?? 'invalid_checkpoint', `${label}: ${first?.detail ?? ''}${more}`, {
    errors: problems.length > 1 || pointer !== undefined ? errors : [],
  });
}

export function showShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}
