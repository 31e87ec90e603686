import type { ReactNode } from 'react';
import { idOf, useProblems } from './problems.js';

/** What the element that takes the value must have. */
export interface FieldProps {
  id: string;
  'aria-describedby': string | undefined;
  'aria-invalid': boolean;
}

/** A labelled value of the recipe, with what it means and what is wrong with it. */
export function Field({
  label,
  pointer,
  hint,
  children,
}: {
  label: string;
  pointer: string;
  hint?: ReactNode;
  children(props: FieldProps): ReactNode;
}) {
  const problems = useProblems(pointer);
  const id = idOf(pointer);
  const described = [hint === undefined ? [] : `${id}-hint`, problems.length === 0 ? [] : `${id}-wrong`].flat();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        'aria-describedby': described.length === 0 ? undefined : described.join(' '),
        'aria-invalid': problems.length > 0,
      })}
      {hint === undefined ? null : (
        <div className="hint dim" id={`${id}-hint`}>
          {hint}
        </div>
      )}
      {problems.length === 0 ? null : (
        <div className="wrong" id={`${id}-wrong`}>
          {problems.map(({ pointer: at, detail }) => (
            <div key={`${at} ${detail}`}>{detail}</div>
          ))}
        </div>
      )}
    </div>
  );
}
