import { AmalgamError, isAmalgamError } from '@amalgam/contracts';

/** Where in a document of mergekit the parts of the recipe made of it come from. */
export class Pointers {
  private readonly places = new Map<string, string>([['', '']]);

  /** What stands at `ours` in the recipe stands at `theirs` in the document. */
  add(ours: string, theirs: string): void {
    this.places.set(ours, theirs);
  }

  /** By the longest part of the pointer that is known; what lies below it is called alike. */
  of(pointer: string): string {
    for (let end = pointer.length; end > 0; end = pointer.lastIndexOf('/', end - 1)) {
      const theirs = this.places.get(pointer.slice(0, end));
      if (theirs !== undefined) return theirs + pointer.slice(end);
    }
    return pointer;
  }
}

/** The error with its pointers, and the mentions of them in its text, changed. */
export function movePointers(error: unknown, of: (pointer: string) => string): unknown {
  if (!isAmalgamError(error) || error.errors.length === 0) return error;
  const errors = error.errors.map(({ pointer, detail }) => ({ pointer: of(pointer), detail }));
  const told = error.errors.reduce((text, { pointer, detail }, i) => {
    return text.replace(`${pointer}: ${detail}`, `${errors[i]!.pointer}: ${detail}`);
  }, error.detail);
  return new AmalgamError(error.code, told, { errors, cause: error });
}

/** A warning about a place, which begins with the pointer to it, likewise. */
export function movePointer(warning: string, of: (pointer: string) => string): string {
  return warning.replace(/^(\/.*?): /, (_, pointer: string) => `${of(pointer)}: `);
}
