import type { ReactNode } from 'react';
import type { Trouble } from '../api.js';

/** What went wrong, in the service's words. */
export function TroubleNote({ trouble }: { trouble: Trouble }) {
  return (
    <div className="note bad" role="alert">
      <strong>{trouble.code}</strong> {trouble.detail}
      {trouble.requestId === undefined ? null : <div className="dim">request {trouble.requestId}</div>}
    </div>
  );
}

/** In the place of something that is not there yet, with what to do about it. */
export function Empty({ children }: { children: ReactNode }) {
  return <div className="empty">{children}</div>;
}

export function Loading() {
  return (
    <p className="dim" role="status">
      Loading…
    </p>
  );
}
