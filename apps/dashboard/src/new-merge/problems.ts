import type { FieldError } from '@amalgam/contracts';
import { createContext, useContext } from 'react';

/** What is wrong with the recipe, each with a JSON pointer into the request's body. */
export const ProblemsContext = createContext<readonly FieldError[]>([]);

/** Of a value, and of what is in it. */
export function useProblems(pointer: string, inside = true): readonly FieldError[] {
  return useContext(ProblemsContext).filter(
    (problem) => problem.pointer === pointer || (inside && problem.pointer.startsWith(`${pointer}/`)),
  );
}

/** The id of the element that a value is typed into. */
export function idOf(pointer: string): string {
  return `at${pointer}`;
}

/** Puts the cursor where the value of a pointer is typed, or into the nearest field around it. */
export function goTo(pointer: string): void {
  for (let at = pointer; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
    const element = document.getElementById(idOf(at));
    if (element === null) continue;
    // What is folded cannot be gone to.
    element.closest('details')?.setAttribute('open', '');
    element.focus();
    return;
  }
  document.getElementById('recipe-text')?.focus();
}
