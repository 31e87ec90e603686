/**
 * A test on tensor names: true for a name that matches one of `include` and none of `exclude`. In a glob `*`
 * stands for any characters (dots and slashes too, or none), `?` for exactly one; everything else stands for
 * itself, and the glob must match the whole name. No `include`, or an empty one, includes every name.
 */
export function compileGlobs(include?: readonly string[], exclude?: readonly string[]): (name: string) => boolean {
  const wanted = include ?? [];
  const unwanted = exclude ?? [];
  return (name) =>
    (wanted.length === 0 || wanted.some((glob) => matchesGlob(glob, name))) &&
    !unwanted.some((glob) => matchesGlob(glob, name));
}

/**
 * Matches without a regular expression, whose backtracking a glob such as `*a*a*a*a*b` could drive to minutes.
 * Only the last `*` met ever needs to be widened, so the time is at most the product of the two lengths.
 */
function matchesGlob(glob: string, name: string): boolean {
  let g = 0;
  let n = 0;
  let star = -1;
  let widened = 0;
  while (n < name.length) {
    if (glob[g] === '*') {
      star = g++;
      widened = n;
    } else if (glob[g] === '?') {
      g++;
      n += width(name, n);
    } else if (g < glob.length && glob[g] === name[n]) {
      g++;
      n++;
    } else if (star >= 0) {
      g = star + 1;
      widened += width(name, widened);
      n = widened;
    } else {
      return false;
    }
  }
  while (glob[g] === '*') g++;
  return g === glob.length;
}

/** UTF-16 code units of the character at `at`: a pair of surrogates is one character. */
function width(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}
