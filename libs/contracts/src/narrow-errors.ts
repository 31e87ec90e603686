import type { ErrorObject } from 'ajv';

/**
 * Ajv tells of a value that may be one of several things why it is none of them, for each of them. Where it is plain which one
 * was meant, only what is wrong with that one is left; else one error that lists what it may be.
 */
export function narrowErrors(errors: readonly ErrorObject[]): ErrorObject[] {
  const kept: ErrorObject[] = [];
  for (const error of errors) {
    if (error.keyword !== 'anyOf') {
      kept.push(error);
      continue;
    }
    // A schema's own errors come right before the one that says that none of them fits.
    const below = `${error.schemaPath}/`;
    const first = kept.findIndex(({ schemaPath }) => schemaPath.startsWith(below));
    const own = first < 0 ? [] : kept.splice(first).filter(({ schemaPath }) => schemaPath.startsWith(below));
    const branches = new Map<string, ErrorObject[]>();
    for (const one of own) {
      const [index = ''] = one.schemaPath.slice(below.length).split('/');
      branches.set(index, [...(branches.get(index) ?? []), one]);
    }
    const meant = [...branches.values()].filter((branch) => !branch.some((one) => isOther(one, error.instancePath)));
    const [only] = meant;
    if (only !== undefined && meant.length === 1) kept.push(...only);
    else kept.push(own.find((one) => isMarkOf(one, error.instancePath)) === undefined ? error : listMarks(own, error));
  }
  return kept;
}

/** Does the error say that the value is another thing altogether: of another type, or marked as something else by a field? */
function isOther(error: ErrorObject, path: string): boolean {
  return (error.keyword === 'type' && error.instancePath === path) || error.keyword === 'const';
}

/** Of objects told apart by a field (`kind`). */
function isMarkOf(error: ErrorObject, path: string): boolean {
  return error.keyword === 'const' && error.instancePath.startsWith(`${path}/`);
}

/** The field that tells them apart has none of its values. */
function listMarks(own: readonly ErrorObject[], { instancePath }: ErrorObject): ErrorObject {
  const marks = own.filter((one) => isMarkOf(one, instancePath));
  const allowedValues = marks.map((one) => (one.params as { allowedValue: unknown }).allowedValue);
  return { ...marks[0]!, keyword: 'enum', params: { allowedValues } };
}
