import type { ReactNode } from 'react';
import { CopyButton } from './copy-button.js';

/** A secret that the service just made and will never show again. */
export function ShownOnce({
  what,
  secret,
  onDone,
  children,
}: {
  what: string;
  secret: string;
  onDone(): void;
  children?: ReactNode;
}) {
  return (
    <section className="card once" aria-label={`New ${what}`}>
      <p role="status">
        <strong>Copy the {what} now: it is not shown again.</strong> {children}
      </p>
      <div className="once-line">
        <code className="once-secret">{secret}</code>
        <CopyButton text={secret} what={what} />
      </div>
      <button type="button" onClick={onDone}>
        I have it
      </button>
    </section>
  );
}
