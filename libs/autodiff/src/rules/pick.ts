import { quote } from '@amalgam/contracts';
import { getInt, getString, intAttribute, stringAttribute } from '@amalgam/onnx';
import { fixedNumbers } from '../fixed.js';
import type { Call, Gradient, Rule, Rules } from '../rule.js';
import { normalAxis, product, range, sliceIndices } from '../types.js';

/** Operators that take elements out of a tensor, or put them into one. */
export const PICK: Rules = {
  Slice: (call) => [() => slice(call)],
  Gather: (call) => [() => gather(call)],
  GatherElements: ({ b, dy, node, x: [x, indices] }) => [
    () =>
      b.op('ScatterElements', [b.zeros(b.dims(x), x), indices, dy], b.type(x), [
        intAttribute('axis', getInt(node, 'axis', 0)),
        stringAttribute('reduction', 'add'),
      ]),
  ],
  // The operator itself tells where the largest were.
  TopK: ({ b, dy, node, x: [x] }) => [
    () => {
      const indices = b.extraOutput(node, 1, { dtype: 'I64', dims: b.dims(dy) });
      return b.op('ScatterElements', [b.zeros(b.dims(x), x), indices, dy], b.type(x), [
        intAttribute('axis', getInt(node, 'axis', -1)),
      ]);
    },
  ],
  GatherND: ({ b, dy, node, x: [x, indices] }) => [
    () => {
      const batch = getInt(node, 'batch_dims', 0);
      if (batch === 0) {
        const add = stringAttribute('reduction', 'add');
        return b.op('ScatterND', [b.zeros(b.dims(x), x), indices, dy], b.type(x), [add]);
      }
      const type = { dtype: 'I64', dims: b.dims(dy) } as const;
      const places = b.op('GatherND', [b.positions(x), indices], type, [intAttribute('batch_dims', batch)]);
      return b.scatterBack(dy, places, x);
    },
  ],
  ScatterElements: scatter('GatherElements', ['axis']),
  ScatterND: scatter('GatherND', []),
};

function slice(call: Call): string {
  const { b, dy, node, x } = call;
  const [input, starts, ends, axes, steps] = x;
  const rank = b.rank(input);
  const [from, to] = [fixedNumbers(b, starts), fixedNumbers(b, ends)];
  const chosen = axes === '' ? range(0, from?.length ?? 0) : fixedNumbers(b, axes);
  const stride = steps === '' ? from?.map(() => 1) : fixedNumbers(b, steps);
  const sizes = chosen?.map((axis) => b.dims(input)[normalAxis(axis, rank)]);
  if (!from || !to || !chosen || !stride || sizes?.some((size) => typeof size !== 'number')) {
    // What is only known while running is found out by slicing the positions alike.
    const inputs = node.input.map((name, i) => (i === 0 ? b.positions(input) : name));
    return b.scatterBack(dy, b.op('Slice', inputs, { dtype: 'I64', dims: b.dims(dy) }), input);
  }
  return chosen.reduce((value, axis, i) => {
    const size = sizes![i] as number;
    return spread(call, value, normalAxis(axis, rank), sliceIndices(size, from[i]!, to[i]!, stride[i]!), size);
  }, dy);
}

/**
 * Puts rows of an axis to places that differ from one another, with zeros between. Without a scatter: padded when
 * the places follow each other, otherwise gathered from the rows and one row of zeros.
 */
function spread({ b }: Call, value: string, axis: number, places: readonly number[], size: number): string {
  const [first] = places;
  if (first === undefined) return b.zeros(b.dims(value).with(axis, size), value);
  if (places.every((place, i) => place === first + i)) {
    return b.padAxis(value, axis, first, size - first - places.length);
  }
  const rows = new Array<number>(size).fill(places.length);
  places.forEach((place, row) => {
    rows[place] = row;
  });
  const filled = places.length === size ? value : b.padAxis(value, axis, 0, 1);
  return b.gather(filled, axis, rows);
}

function gather(call: Call): string {
  const { b, dy, node, x } = call;
  const [input, indices] = x;
  const dims = b.dims(input);
  const axis = normalAxis(getInt(node, 'axis', 0), dims.length);
  const size = dims[axis]!;
  const list = typeof size === 'number' ? fixedNumbers(b, indices) : null;
  const count = list?.length ?? product(b.dims(indices));
  // The indices' axes as one, or as one of size 1 when there were none.
  const flat = b.reshape(dy, dims.with(axis, count));
  const places = list?.map((index) => normalAxis(index, size as number));
  if (places !== undefined && new Set(places).size === places.length) {
    return spread(call, flat, axis, places, size as number);
  }
  const rows = b.moveAxis(flat, axis, 0);
  // Places that are only known while running may be negative; ScatterND takes these too.
  const place =
    places === undefined
      ? b.cast(b.reshape(indices, [count, 1]), 'I64')
      : b.constant('I64', [places.length, 1], places);
  const target = [size, ...dims.filter((_, i) => i !== axis)];
  const added = b.op('ScatterND', [b.zeros(target, input), place, rows], { dtype: b.dtype(input), dims: target }, [
    stringAttribute('reduction', 'add'),
  ]);
  return b.moveAxis(added, 0, axis);
}

/** What was overwritten has no gradient; the updates have that of their places. */
function scatter(inverse: string, attributes: readonly string[]): Rule {
  return ({ b, dy, node, x: [x, indices, updates], refuse }): Gradient[] => {
    const reduction = getString(node, 'reduction', 'none');
    if (reduction !== 'none' && reduction !== 'add') throw refuse(`reduction ${quote(reduction)}`);
    const kept = attributes.map((name) => intAttribute(name, getInt(node, name, 0)));
    return [
      () =>
        reduction === 'add'
          ? dy
          : b.op(node.opType!, [dy, indices, b.zeros(b.dims(updates), updates)], b.type(x), kept),
      null,
      () => b.op(inverse, [dy, indices], b.type(updates), kept),
    ];
  };
}
