import type { Session } from '@amalgam/contracts';
import { createContext, useContext } from 'react';

/** Who is signed in, and what to do when it turns out that nobody is any more. */
export interface SignedIn {
  session: Session;
  /** Shows the sign-in page. */
  onSignedOut(): void;
}

export const SessionContext = createContext<SignedIn | null>(null);

export function useSession(): SignedIn {
  const signedIn = useContext(SessionContext);
  if (signedIn === null) throw new Error('this part of the page is for those who are signed in');
  return signedIn;
}

/** Whether the session's key may cancel and retry. */
export function mayWrite({ scopes }: Session): boolean {
  return scopes.includes('*') || scopes.includes('write');
}
