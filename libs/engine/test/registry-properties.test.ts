import { listMethods } from '@amalgam/methods';
import { describe, expect, test } from 'vitest';
import { cast, expectClose, NAMES, run, type Values } from './small-models.js';

/** What holds for whole families of methods, of whatever the registry has. */

const methods = listMethods().filter(({ tuned, adapter }) => tuned === undefined && adapter === undefined);
const has = (parameter: string) => methods.filter(({ parameters }) => Object.hasOwn(parameters.properties, parameter));
const [base, ...models] = cast(1, 2, 0.3, 1) as [Values, ...Values[]];

const scaled = has('lambda').map(({ name }) => name);
test.each(scaled)('%s: lambda 0 leaves the base', async (method) => {
  const { of } = await run({ method, parameters: { lambda: 0 } }, base, models);
  for (const name of NAMES) expect(of(name)).toEqual(base[name]);
});

describe('one model alone comes back where nothing is dropped and nothing scaled', () => {
  /** Settings under which a method keeps every entry and adds a task vector as it is. */
  const WHOLE: Record<string, number> = { lambda: 1, density: 1, gamma: 0, k: 1, select_topk: 1, epsilon: 0 };
  /** Methods that leave entries of a single model out, whatever is set; brute force has them. */
  const choosy = new Set(['pcb', 'arcee_fusion']);
  const alone = methods.filter(({ name, models: { minimum } }) => minimum === 1 && !choosy.has(name));
  const whole = (properties: object) =>
    Object.fromEntries(Object.entries(WHOLE).filter(([key]) => Object.hasOwn(properties, key)));

  test.each(alone.map((method) => [method.name, method] as const))('%s', async (method, definition) => {
    const parameters = { ...whole(definition.parameters.properties), ...(method === 'nearswap' && { t: 1e30 }) };
    const own = whole(definition.modelParameters.properties);
    const over = definition.base === 'required' ? base : null;
    const { of } = await run({ method, parameters, models: [{ parameters: own }] }, over, [models[0]!]);
    for (const name of NAMES) expectClose(of(name), models[0]![name]!);
  });
});

describe('density 1 without outliers keeps every entry', () => {
  const sparse = methods.filter(({ modelParameters }) => Object.hasOwn(modelParameters.properties, 'density'));

  test.each(sparse.map(({ name, modelParameters }) => [name, Object.keys(modelParameters.properties)] as const))(
    '%s',
    async (method, keys) => {
      const own = {
        density: 1,
        ...(keys.includes('gamma') && { gamma: 0 }),
        ...(keys.includes('epsilon') && { epsilon: 0 }),
      };
      const { report } = await run({ method, models: models.map(() => ({ parameters: own })) }, base, models);
      const shares = new Map(report.tensors.map(({ name, trimmed }) => [name, trimmed]));
      expect(NAMES.map((name) => [name, shares.get(name)])).toEqual(NAMES.map((name) => [name, models.map(() => 0)]));
    },
  );
});

describe('the bytes do not depend on threads and chunks', () => {
  test.each(methods.map(({ name, base: needs, models: { maximum } }) => [name, needs, maximum ?? 3] as const))(
    '%s',
    async (method, needs, count) => {
      const over = needs === 'required' ? base : null;
      const own = models.slice(0, count);
      const one = await run({ method }, over, own, { threads: 1, chunkElements: 2048 });
      const three = await run({ method }, over, own, { threads: 3, chunkElements: 2 ** 14 });
      expect(Buffer.compare(one.bytes, three.bytes)).toBe(0);
    },
  );
});

describe('the order of the models changes roundings only', () => {
  const drawing = new Set(has('seed').map(({ name }) => name));
  const orderly = methods.filter(({ name, models: { maximum } }) => maximum === null && !drawing.has(name));

  test.each(orderly.map(({ name, base: needs }) => [name, needs] as const))('%s', async (method, needs) => {
    const over = needs === 'required' ? base : null;
    const turned = [models[2]!, models[0]!, models[1]!];
    const [one, other] = await Promise.all([models, turned].map((list) => run({ method }, over, list)));
    for (const name of NAMES) expectClose(one!.of(name), other!.of(name));
  });
});

test('consensus_ta: what is not finite matters to no task, and shows with k 0', async () => {
  const broken = {
    ...models[0]!,
    a: models[0]!['a']!.map((x, i) => (i === 0 ? Number.NaN : i === 1 ? Number.POSITIVE_INFINITY : x)),
  };
  const all = [broken, ...models.slice(1)];
  const firstOf = async (k: number) =>
    (await run({ method: 'consensus_ta', parameters: { k } }, base, all)).of('a').slice(0, 2);
  expect(await firstOf(1)).toEqual(base['a']!.slice(0, 2));
  expect(await firstOf(0)).toEqual([Number.NaN, Number.POSITIVE_INFINITY]);
});
