import { quote, quoteList } from '@amalgam/contracts';
import { isUnder } from './block-names.js';
import { blockTensor, type Input, isBuffer, lookUp } from './inputs.js';
import type { OpenSlice } from './slice-sources.js';

/** What of slices may be other than whoever wrote them thinks, and is no error. `stackIndex`: of the donor's stacks. */
export function warnOfSlices(donor: Input, stackIndex: number, slices: readonly OpenSlice[]): string[] {
  return [...leftOut(slices), ...oddFirstLayers(slices), ...unevenLayers(donor, stackIndex, slices)];
}

/** Tensors outside of layers that a source has and the one whose names count has not. */
function leftOut(slices: readonly OpenSlice[]): string[] {
  const ends = new Set([slices[0], slices.at(-1)]);
  const sources = slices
    .filter((slice) => ends.has(slice))
    .flatMap((slice) => slice.models.map((source) => ({ slice, source })));
  const byReference = new Map<string, string[]>();
  for (const { slice, source } of sources) {
    const { input, stack } = source;
    const leading = slice.leading.input;
    if (input === leading) continue;
    const prefix = input.architecture.stacks[stack]?.prefix ?? '';
    const names = [...input.tensors.keys()].filter(
      (name) =>
        !isUnder(name, prefix) &&
        input.architecture.layerOf(name) === null &&
        !input.architecture.vocabulary.some((tensor) => tensor.name === name) &&
        !isBuffer(name, input.tensors.get(name)?.shape ?? []) &&
        lookUp(leading, name, input) === null,
    );
    if (names.length > 0) byReference.set(input.reference, names);
  }
  return [...byReference].map(
    ([reference, names]) => `${quote(reference)} has tensors that the result has not: ${quoteList(names)}`,
  );
}

/** A model whose first layer is built otherwise than the rest, and whose first layer went elsewhere, or another one first. */
function oddFirstLayers(slices: readonly OpenSlice[]): string[] {
  const odd = new Set<string>();
  let layer = 0;
  for (const { leading, length } of slices) {
    const { input, stack, from } = leading;
    const [block, ...others] =
      input.architecture.stacks[stack]?.blocks.slice(0, input.architecture.stacks[stack]?.count) ?? [];
    const [second] = others;
    if (block !== undefined && second !== undefined && (from === 0) !== (layer === 0)) {
      const othersAlike = others.every((other) => sameNames(other, second));
      const lacksSome = [...second].some((rest) => !block.has(rest));
      if (othersAlike && lacksSome && !sameNames(block, second)) odd.add(input.reference);
    }
    layer += length;
  }
  return [...odd].map(
    (reference) =>
      `the first layer of ${quote(reference)} is built otherwise than its other layers, and changes its place`,
  );
}

/** Layers whose weights have other shapes than the donor's where they go: stages of an image model, or heads by layer. */
function unevenLayers(donor: Input, stackIndex: number, slices: readonly OpenSlice[]): string[] {
  const stack = donor.architecture.stacks[stackIndex];
  let layer = 0;
  for (const { leading, length } of slices) {
    for (let i = 0; i < length; i++, layer++) {
      if (leading.input === donor && leading.from + i === layer) continue;
      for (const rest of layer < (stack?.count ?? 0) ? (stack?.blocks[layer] ?? []) : []) {
        const there = donor.tensors.get(blockTensor(donor, stackIndex, layer, rest));
        const here = leading.input.tensors.get(blockTensor(leading.input, leading.stack, leading.from + i, rest));
        if (there === undefined || here === undefined || String(here.shape) === String(there.shape)) continue;
        return [
          `layer ${layer} comes from ${quote(here.name)} of shape [${here.shape.join(', ')}], where ${quote(donor.reference)} has ` +
            `[${there.shape.join(', ')}]: models whose layers differ in size are seldom cut and still load`,
        ];
      }
    }
  }
  return [];
}

function sameNames(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((name) => b.has(name));
}
