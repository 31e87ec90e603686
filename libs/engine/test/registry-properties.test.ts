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
