import { getInts } from '@amalgam/onnx';
import { fixedNumbers } from '../fixed.js';
import type { Call, Rules } from '../rule.js';
import { product, range } from '../types.js';
import type { Windows } from '../windows.js';
import { conv } from './convolution.js';
import { oneHotKernels } from './pooling.js';

export const COLUMNS: Rules = {
  Col2Im: (call) => [() => columnsOf(call)],
};

/** Col2Im adds columns up where windows overlap; so each column gets what is in its window of dy. */
function columnsOf({ b, dy, node, x: [x, , block], refuse }: Call): string {
  const kernel = fixedNumbers(b, block);
  const [batch, channels, ...input] = b.dims(dy);
  if (kernel === null) throw refuse('its blocks are computed; they must be constant');
  const ones = kernel.map(() => 1);
  const pads = getInts(node, 'pads', [...kernel, ...kernel].fill(0));
  const windows: Omit<Windows, 'input' | 'output'> = {
    kernel,
    strides: getInts(node, 'strides', ones),
    dilations: getInts(node, 'dilations', ones),
    before: pads.slice(0, kernel.length),
    after: pads.slice(kernel.length),
  };
  // Channels are taken as images of their own.
  const images = product([batch!, channels!]);
  const places = range(0, kernel.length).map(() => b.unknownDim());
  const alone = b.reshape(dy, [images, 1, ...input]);
  const parts = conv(b, alone, oneHotKernels(b, kernel, dy), windows, 1, [images, product(kernel), ...places]);
  return b.reshape(parts, b.dims(x));
}
