const SHOWN = 120;
const LISTED = 8;

/**
 * A name or value that came from a file, fit for an error message: in quotes, control characters escaped,
 * cut at 120 characters (a hostile header can hold a name of 100 MB).
 */
export function quote(text: string): string {
  if (text.length <= SHOWN) return JSON.stringify(text);
  return `${JSON.stringify(text.slice(0, SHOWN))}… (${text.length} characters)`;
}

/** Up to eight names in quotes, then how many more there are. */
export function quoteList(names: readonly string[]): string {
  const shown = names.slice(0, LISTED).map(quote).join(', ');
  return names.length > LISTED ? `${shown} and ${names.length - LISTED} more` : shown;
}

/** Up to eight sentences as one, then how many more there are. */
export function joinDetails(details: readonly string[]): string {
  const shown = details.slice(0, LISTED).join('; ');
  return details.length > LISTED ? `${shown}; and ${details.length - LISTED} more` : shown;
}

/** A tensor's sizes, as PyTorch prints them. */
export function showShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** Orders strings by UTF-16 code unit, the one order that is the same on every machine and locale. */
export function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
