import { AmalgamError, type ErrorCode, type FieldError } from '@amalgam/contracts';

/** Most problems that an answer lists; a wrong model can have thousands. */
const MOST_PROBLEMS = 100;

export type Problem = FieldError & { code: ErrorCode };

/** One error for all problems, with the first one's code. */
export function toError(problems: readonly Problem[]): AmalgamError {
  const shown = problems.slice(0, MOST_PROBLEMS).map(({ pointer, detail }) => ({ pointer, detail }));
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new AmalgamError(problems[0]?.code ?? 'internal', `${problems[0]?.detail}${more}`, { errors: shown });
}
