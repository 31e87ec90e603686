import { AmalgamError } from '@amalgam/contracts';

/** A refusal that the hub's own client reports: the answer's status, and the code in `x-error-code`. */
export interface HubAnswer {
  status: number;
  /** As GatedRepo, RepoNotFound, RevisionNotFound, EntryNotFound. */
  code: string | null;
  retryAfter: number | null;
}

export interface HubPlace {
  /** Names it in errors. */
  label: string;
  repo: string;
  revision: string | null;
}

/** Whether the same request may fare better later: too many requests, or the server's own trouble. */
export function isPassing({ status }: HubAnswer): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** The answer in words. Neither the token nor any URL is in it: those of downloads carry signatures. */
export function hubError(answer: HubAnswer, place: HubPlace, withToken: boolean): AmalgamError {
  const { status, code, retryAfter } = answer;
  const { label, repo, revision } = place;
  if (code === 'GatedRepo') {
    const how = withToken
      ? 'the account of HF_TOKEN has not been let in: accept its terms on its page of the hub'
      : 'accept its terms on its page of the hub, and set HF_TOKEN to a token of that account';
    return new AmalgamError('hub_refused', `${label}: the model ${repo} is gated; ${how}`);
  }
  if (code === 'RevisionNotFound') {
    return new AmalgamError('not_found', `${label}: ${repo} has no revision ${revision ?? 'main'}`);
  }
  if (code === 'EntryNotFound') return new AmalgamError('not_found', `${label}: there is no such file or folder`);
  if (status === 401 || (status === 403 && !withToken)) {
    const rule = withToken
      ? 'the hub does not take HF_TOKEN, or there is no such model'
      : `the hub shows no model ${repo} to everybody; where it is private or gated, set HF_TOKEN`;
    return new AmalgamError('hub_refused', `${label}: ${rule}`);
  }
  if (status === 403) return new AmalgamError('hub_refused', `${label}: the account of HF_TOKEN may not read ${repo}`);
  if (status === 404) {
    const hint = withToken ? 'or the account of HF_TOKEN may not see it' : 'or it is private, and HF_TOKEN is not set';
    return new AmalgamError('not_found', `${label}: the hub has no model ${repo}, ${hint}`);
  }
  if (status === 429) {
    const wait = retryAfter === null ? 'a while' : `${retryAfter} s`;
    const hint = withToken ? '' : '; it allows more with HF_TOKEN set';
    return new AmalgamError('storage_error', `${label}: too many requests to the hub; try again in ${wait}${hint}`);
  }
  return new AmalgamError('storage_error', `${label}: the hub answered ${status}`);
}

/** A connection that failed, or an answer that broke off. */
export function hubUnreachable(error: unknown, { label }: HubPlace, host: string): AmalgamError {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (cause as { code?: unknown } | null)?.code;
  const reason = typeof code === 'string' ? code : error instanceof Error ? error.name : 'unknown';
  return new AmalgamError('storage_error', `${label}: ${host} cannot be reached or did not answer (${reason})`);
}
