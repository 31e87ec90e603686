import { getInt, getString } from '@amalgam/onnx';
import type { Lowerings } from '../rule.js';
import { type Dim, isStatic, normalAxis } from '../types.js';

/** Most storage buffers that a WebGPU shader has, one of which is Split's input. */
const SPLIT_OUTPUTS = 15;

export const REARRANGEMENTS: Lowerings = {
  DepthToSpace: ({ b, node, x: [x], refuse }) => {
    const [n, c, h, w] = b.dims(x);
    const size = getInt(node, 'blocksize');
    if (!isStatic([c!, h!, w!])) throw refuse('its channels and spatial sizes must be fixed');
    const deep = (c as number) / size ** 2;
    const columns = getString(node, 'mode', 'DCR') === 'CRD';
    const apart = b.reshape(x, columns ? [n!, deep, size, size, h!, w!] : [n!, size, size, deep, h!, w!]);
    const turned = b.transpose(apart, columns ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2]);
    return [b.identity(b.reshape(turned, [n!, deep, (h as number) * size, (w as number) * size]))];
  },
  SpaceToDepth: ({ b, node, x: [x], refuse }) => {
    const [n, c, h, w] = b.dims(x);
    const size = getInt(node, 'blocksize');
    if (!isStatic([c!, h!, w!])) throw refuse('its channels and spatial sizes must be fixed');
    const [rows, columns] = [(h as number) / size, (w as number) / size];
    const apart = b.reshape(x, [n!, c!, rows, size, columns, size]);
    const turned = b.transpose(apart, [0, 3, 5, 1, 2, 4]);
    return [b.identity(b.reshape(turned, [n!, (c as number) * size ** 2, rows, columns]))];
  },
  Split: ({ b, node, options, x: [x], y }) => {
    if (!options.portable || node.output.length <= SPLIT_OUTPUTS) return null;
    const axis = normalAxis(getInt(node, 'axis', 0), b.rank(x));
    const sizes: readonly Dim[] = node.output.map((_, i) => b.dims(y[i]!)[axis]!);
    if (!isStatic(sizes)) return null;
    let end = 0;
    return sizes.map((size) => {
      end += size;
      return b.identity(b.slice(x, axis, end - size, end));
    });
  },
};
