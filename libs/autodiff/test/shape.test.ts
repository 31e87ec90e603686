import { intAttribute, intsAttribute, stringAttribute } from '@amalgam/onnx';
import { describe, it } from 'vitest';
import { composed, floats, int, ints, op, x } from './support/cases.js';
import { checkCase } from './support/check.js';

const axis = (value: number) => intAttribute('axis', value);
const mode = (value: string) => stringAttribute('mode', value);

describe('operators that rearrange, against central differences', () => {
  it.each([
    op('Reshape', [x(2, 3), ints(3, -1)]),
    op('Reshape', [x(2, 3), ints(0, 1, 3)]),
    op('Flatten', [x(2, 3, 2)]),
    op('Flatten', [x(2, 3, 2)], [axis(0)]),
    op('Flatten', [x(2, 3, 2)], [axis(-1)]),
    op('Squeeze', [x(1, 3, 1), ints(-1)]),
    op('Squeeze', [x(1, 3, 1)]),
    op('Unsqueeze', [x(3), ints(0, -1)]),
    op('Transpose', [x(2, 3, 2)]),
    op('Transpose', [x(2, 3, 4)], [intsAttribute('perm', [2, 0, 1])]),
    op('Expand', [x(3, 1), ints(2, 3, 4)]),
    op('Expand', [x(2, 3), ints(1)]),
    op('Tile', [x(2, 3), ints(2, 1)]),
    op('Tile', [x(2, 1, 3), ints(1, 2, 3)]),
    op('Concat', [x(2, 1), x(2, 3), floats([2, 1], 1, 2)], [axis(1)]),
    op('Concat', [x(1, 2), x(2, 2)], [axis(-2)]),
    op('Concat', [x(2)], [axis(0)]),
    composed('Concat of a value and itself', [x(2)], (graph, [value]) =>
      graph.op('Concat', [value!, value!], [axis(0)]),
    ),
    ...[16, 18].map((opset) =>
      composed(
        `Split of which one part is not used, opset ${opset}`,
        [x(2, 5), ints(1, 2, 2)],
        (graph, [value, sizes]) => {
          const node = graph.addNode({ opType: 'Split', inputs: [value!, sizes!], outputs: 3, attributes: [axis(-1)] });
          return graph.op('Mul', [node.output[1]!, node.output[2]!]);
        },
        { opset },
      ),
    ),
    composed('Split into equal parts, opset 18', [x(4, 2)], (graph, [value]) => {
      const attributes = [intAttribute('num_outputs', 2)];
      const node = graph.addNode({ opType: 'Split', inputs: [value!], outputs: 2, attributes });
      return graph.op('Mul', node.output);
    }),
    composed(
      'Split into equal parts, opset 17',
      [x(4, 2)],
      (graph, [value]) => {
        const node = graph.addNode({ opType: 'Split', inputs: [value!], outputs: 2, attributes: [axis(0)] });
        return graph.op('Sub', node.output);
      },
      { opset: 17 },
    ),
    composed('Split into more parts than WebGPU takes', [x(17)], (graph, [value]) => {
      const node = graph.addNode({
        opType: 'Split',
        inputs: [value!],
        outputs: 17,
        attributes: [intAttribute('num_outputs', 17)],
      });
      return graph.op('Concat', [...node.output].reverse(), [axis(0)]);
    }),
    composed(
      'Concat of more parts than WebGPU splits',
      Array.from({ length: 17 }, () => x(1, 1)),
      (graph, parts) => graph.op('Concat', parts, [axis(1)]),
    ),
    op('Pad', [x(2, 3), ints(0, 1, 2, 0)]),
    op('Pad', [x(2, 3), ints(1, 0, 0, 2), floats([], 5)], [mode('constant')]),
    op('Pad', [x(3, 4), ints(-1, 1, 0, -2)]),
    op('Pad', [x(2, 3), ints(1, 2), '', ints(-1)]),
    op('Pad', [x(2, 3), ints(1, 0, 1, 2)], [mode('edge')]),
    op('Pad', [x(3, 3), ints(1, 2, 1, 0)], [mode('reflect')]),
    op('Pad', [x(2, 3), ints(0, 2, 0, 1)], [mode('wrap')], { opset: 19 }),
    op('Trilu', [x(3, 3)]),
    op('Trilu', [x(2, 3, 4), int(1)], [intAttribute('upper', 0)]),
    op('DepthToSpace', [x(1, 8, 1, 2)], [intAttribute('blocksize', 2)]),
    op('DepthToSpace', [x(2, 4, 2, 1)], [intAttribute('blocksize', 2), mode('CRD')]),
    op('SpaceToDepth', [x(1, 2, 4, 2)], [intAttribute('blocksize', 2)]),
  ])('$name', checkCase);
});
