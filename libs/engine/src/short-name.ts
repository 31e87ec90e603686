/** A checkpoint's name as it may stand in reports and as a file's name. */
export function shortName(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '');
  return safe.slice(0, 100) || 'model';
}
