import { useEffect, useState } from 'react';

const SHOWN_MS = 2000;

/** Copies a text, and says that it did. */
export function CopyButton({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState('');
  useEffect(() => {
    if (said === '') return;
    const timer = setTimeout(() => setSaid(''), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => setSaid((await write(text)) ? 'Copied' : 'Not allowed here: select the text');
  return (
    <span className="copy">
      <span role="status" className="dim">
        {said}
      </span>
      <button type="button" onClick={copy} aria-label={`Copy ${what}`}>
        Copy
      </button>
    </span>
  );
}

/** Pages that came over plain HTTP from another machine have no clipboard. */
async function write(text: string): Promise<boolean> {
  if (navigator.clipboard === undefined) return false;
  return navigator.clipboard.writeText(text).then(
    () => true,
    () => false,
  );
}
