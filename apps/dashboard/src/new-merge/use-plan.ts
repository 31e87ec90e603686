import { type FieldError, isAmalgamError, type Plan, type Recipe } from '@amalgam/contracts';
import { useEffect, useRef, useState } from 'react';
import { client, isAbort, isSignedOut } from '../api.js';
import { useSession } from '../session.js';
import { type Draft, isForeign, listAt } from './draft.js';

/** Between the last change and the question. */
const PAUSE_MS = 300;

export interface Planned {
  /** Null until there is one, and while something is wrong. */
  plan: Plan | null;
  problems: readonly FieldError[];
  /** Does it belong to an older draft? */
  behind: boolean;
}

const NOTHING: Planned = { plan: null, problems: [], behind: false };

/** What the service makes of the draft, asked a moment after each change. */
export function usePlan(draft: Draft): Planned {
  const { onSignedOut } = useSession();
  const [told, setTold] = useState<{ draft: Draft; plan: Plan | null; problems: readonly FieldError[] } | null>(null);
  const signedOut = useRef(onSignedOut);
  signedOut.current = onSignedOut;

  useEffect(() => {
    if (!isWorthAsking(draft)) return;
    const end = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const plan = await client.merges.plan(draft as Recipe, { signal: end.signal });
        if (!end.signal.aborted) setTold({ draft, plan, problems: [] });
      } catch (error) {
        if (end.signal.aborted || isAbort(error)) return;
        if (isSignedOut(error)) signedOut.current();
        else setTold({ draft, plan: null, problems: problemsOf(error) });
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      end.abort();
    };
  }, [draft]);

  if (!isWorthAsking(draft) || told === null) return { ...NOTHING, behind: isWorthAsking(draft) };
  return { plan: told.plan, problems: told.problems, behind: told.draft !== draft };
}

/** An empty form is no mistake yet. */
export function isWorthAsking(draft: Draft): boolean {
  return isForeign(draft) || listAt(draft, ['models']).length > 0;
}

/** What an error says, by place; the whole body's where it names none. */
export function problemsOf(error: unknown): readonly FieldError[] {
  if (!isAmalgamError(error)) return [{ pointer: '', detail: String(error) }];
  return error.errors.length > 0 ? error.errors : [{ pointer: '', detail: error.detail }];
}
