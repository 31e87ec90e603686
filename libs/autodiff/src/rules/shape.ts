import { getInt, getInts, getString, intAttribute, stringAttribute } from '@amalgam/onnx';
import { fixedNumbers } from '../fixed.js';
import type { Call, Rule, Rules } from '../rule.js';
import { type Dim, isStatic, normalAxis, range } from '../types.js';

/** Operators that only arrange elements anew. */
export const SHAPE: Rules = {
  Reshape: back(),
  Flatten: back(),
  Squeeze: back(),
  Unsqueeze: back(),
  Transpose: ({ b, dy, node, x: [x] }) => [
    () => {
      const perm = getInts(node, 'perm', range(0, b.rank(x)).reverse());
      return b.transpose(
        dy,
        range(0, perm.length).map((axis) => perm.indexOf(axis)),
      );
    },
  ],
  Expand: ({ b, dy, x: [x] }) => [() => b.unbroadcast(dy, x)],
  Tile: (call) => [() => tile(call)],
  Concat: (call) => concat(call),
  Split: ({ b, dys, node, y }) => [
    () => {
      const parts = node.output.map((_, i) => dys[i] ?? b.zeros(b.dims(y[i]!), y[i]!));
      return b.concat(parts, normalAxis(getInt(node, 'axis', 0), b.rank(parts[0]!)));
    },
  ],
  Pad: (call) => [() => pad(call)],
  // The other triangle has no part in y.
  Trilu: ({ b, dy, node, x: [x, k] }) => [
    () => b.op('Trilu', k === '' ? [dy] : [dy, k], b.type(x), [intAttribute('upper', getInt(node, 'upper', 1))]),
  ],
};

function back(): Rule {
  return ({ b, dy, x: [x] }) => [() => b.reshape(dy, b.dims(x))];
}

/** Each axis is split in repetitions and size, and the repetitions are summed. */
function tile({ b, dy, x: [x, repeats], refuse }: Call): string {
  const [from, to] = [b.dims(x), b.dims(dy)];
  const known = isStatic(from) && isStatic(to) && !from.includes(0);
  const counts = fixedNumbers(b, repeats) ?? (known ? to.map((size, axis) => size / from[axis]!) : null);
  if (counts === null) throw refuse('its repeats are computed; they must be constant');
  const dims = from.flatMap((dim, axis): Dim[] => [counts[axis]!, dim]);
  const apart = b.reshape(dy, dims);
  return b.reshape(
    b.sum(
      apart,
      counts.map((_, axis) => 2 * axis),
      false,
    ),
    b.dims(x),
  );
}

/** A slice for each input; where sizes are only known while running, a Split. */
function concat({ b, dy, node, x }: Call): ReturnType<Rule> {
  const axis = normalAxis(getInt(node, 'axis'), b.rank(dy));
  const sizes = node.input.map((input) => b.dims(input)[axis]!);
  let parts: readonly string[] | undefined;
  return node.input.map((_, index) => () => {
    const before = sizes.slice(0, index + 1);
    if (before.every((size) => typeof size === 'number')) {
      const end = before.reduce<number>((total, size) => total + (size as number), 0);
      return b.slice(dy, axis, end - (sizes[index] as number), end);
    }
    parts ??= b.split(dy, axis, sizes);
    return b.reshape(parts[index]!, b.dims(x[index]!));
  });
}

/** Of zeros: what is in the middle. Of copies: every copy adds to where it came from. */
function pad({ b, dy, node, x: [x, pads, , axes], refuse }: Call): string {
  const mode = getString(node, 'mode', 'constant');
  const amounts = fixedNumbers(b, pads);
  const rank = b.rank(x);
  const chosen = axes === '' ? range(0, rank) : fixedNumbers(b, axes)?.map((axis) => normalAxis(axis, rank));
  if (mode !== 'constant') {
    const inputs = node.input.map((name, i) => (i === 0 ? b.positions(x) : i === 2 ? '' : name));
    const indices = b.op('Pad', inputs, { dtype: 'I64', dims: b.dims(dy) }, [stringAttribute('mode', mode)]);
    return b.scatterBack(dy, indices, x);
  }
  if (amounts === null || chosen === undefined) throw refuse('its pads are computed; they must be constant');
  const before = range(0, rank).map((axis) => amounts[chosen.indexOf(axis)] ?? 0);
  const after = range(0, rank).map((axis) => amounts[chosen.length + chosen.indexOf(axis)] ?? 0);
  const padded = chosen.filter((axis) => before[axis] !== 0 || after[axis] !== 0);
  for (const axis of padded) if (typeof b.dims(x)[axis] !== 'number') throw refuse(`axis ${axis} has no fixed size`);
  // Negative padding cut something off, which comes back as zeros.
  const widened = b.pad(
    dy,
    before.map((size) => Math.max(0, -size)),
    after.map((size) => Math.max(0, -size)),
  );
  return padded.reduce((value, axis) => {
    const start = Math.max(0, before[axis]!);
    return b.slice(value, axis, start, start + (b.dims(x)[axis] as number));
  }, widened);
}
