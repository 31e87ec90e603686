import { AmalgamError, problemsError } from '@amalgam/contracts';

export interface Problem {
  code: 'invalid_checkpoint' | 'tensor_missing' | 'shape_mismatch' | 'dtype_unsupported';
  detail: string;
}

/** One error for all of them, with the code and words of the first. */
export function problemError(problems: readonly Problem[], label: string, pointer: string | undefined): AmalgamError {
  const error = problemsError(
    problems.map(({ code, detail }) => ({ code, pointer: pointer ?? '', detail: `${label}: ${detail}` })),
  );
  // A single problem of no field has nothing to list.
  return problems.length > 1 || pointer !== undefined ? error : new AmalgamError(error.code, error.detail);
}
