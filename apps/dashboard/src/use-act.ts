import { useState } from 'react';
import { isSignedOut, type Trouble, toTrouble } from './api.js';
import { useSession } from './session.js';

export interface Act {
  /** One call is under way. */
  busy: boolean;
  /** Of the last call. */
  trouble: Trouble | null;
  /** Runs a call of the service, and keeps what went wrong. */
  act(call: () => Promise<void>): Promise<void>;
}

/** For buttons that have the service do something. */
export function useAct(): Act {
  const { onSignedOut } = useSession();
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const act = async (call: () => Promise<void>) => {
    setBusy(true);
    setTrouble(null);
    try {
      await call();
    } catch (error) {
      if (isSignedOut(error)) onSignedOut();
      else setTrouble(toTrouble(error));
    }
    setBusy(false);
  };
  return { busy, trouble, act };
}
