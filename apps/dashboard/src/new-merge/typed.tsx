import { useState } from 'react';
import type { FieldProps } from './field.js';

interface TypedProps extends FieldProps {
  /** What is there, as text. */
  written: string;
  placeholder?: string;
  /** The same text as it would be written; what is typed stays as it is while both mean the same. */
  means(text: string): string;
  onType(text: string): void;
}

/** A text that stands for a value: `0.2,` is not rewritten to `0.2` while somebody types. */
export function Typed({ written, placeholder, means, onType, ...props }: TypedProps) {
  const [typed, setTyped] = useState(written);
  return (
    <input
      {...props}
      type="text"
      autoComplete="off"
      spellCheck={false}
      placeholder={placeholder}
      value={means(typed) === written ? typed : written}
      onChange={(event) => {
        setTyped(event.target.value);
        onType(event.target.value);
      }}
    />
  );
}
