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
    // A schema's own errors come right before the one that says that none of them fits; before these, those of other values.
    const below = `${error.schemaPath}/`;
    let first = kept.length;
    while (first > 0 && isBelow(kept[first - 1]!, below, error.instancePath)) first--;
    const own = kept.splice(first);
    const branches = new Map<string, ErrorObject[]>();
    for (const one of own) {
      const [index = ''] = one.schemaPath.slice(below.length).split('/');
      const branch = branches.get(index) ?? [];
      branch.push(one);
      branches.set(index, branch);
    }
    const meant = [...branches.values()].filter((branch) => !branch.some((one) => isOther(one, error.instancePath)));
    const [only] = meant;
    if (only !== undefined && meant.length === 1) for (const one of only) kept.push(one);
    else kept.push(own.find((one) => isMarkOf(one, error.instancePath)) === undefined ? error : listMarks(own, error));
  }
  return kept;
}

/** Is it about the value at `path`, or what is in it, and from the schemas below a path of schemas? */
function isBelow({ schemaPath, instancePath }: ErrorObject, below: string, path: string): boolean {
  return schemaPath.startsWith(below) && (instancePath === path || instancePath.startsWith(`${path}/`));
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
