import { type AmalgamError, isAmalgamError } from '@amalgam/contracts';
import { type AttributeProto, intAttribute, intsAttribute, stringAttribute } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { type Dim, gradients } from '../src/index.js';
import { Small } from './support/small.js';

/** Differentiates the sum of what `build` makes from x, and returns the error. */
function refusal(
  build: (small: Small, x: string) => string,
  options: { opset?: number; portable?: boolean } = {},
): AmalgamError {
  const small = new Small(options.opset ?? 18);
  const x = small.input('x');
  const of = small.loss(build(small, x));
  return caught(() =>
    gradients(small.graph, { of, wrt: [x], shapes: small.shapes, portable: options.portable ?? false }),
  );
}

function caught(work: () => unknown): AmalgamError {
  try {
    work();
  } catch (error) {
    if (isAmalgamError(error)) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

function expectRefusal(error: AmalgamError, opType: string, opset: number, rule: string): void {
  expect(error.code).toBe('unsupported_graph');
  expect(error.detail).toContain(`model.onnx: node "n-${opType}" (${opType}), opset ${opset}: ${rule}`);
}

describe('what cannot be differentiated is refused, naming operator, node, opset and rule', () => {
  it('an operator without a rule', () => {
    expectRefusal(
      refusal((s, x) => s.node('Det', [x])[0]!),
      'Det',
      18,
      'there is no gradient for this operator',
    );
  });

  it('a recurrent network', () => {
    const error = refusal((s, x) => s.node('LSTM', [x, s.floats('w', [1], 1)])[0]!, { opset: 22 });
    expectRefusal(error, 'LSTM', 22, 'there is no gradient for this operator');
  });

  it('control flow', () => {
    const error = refusal((s, x) => s.node('Loop', ['', '', x])[0]!);
    expectRefusal(error, 'Loop', 18, 'is control flow');
  });

  it('an operator of another domain', () => {
    const error = refusal((s, x) => {
      s.graph.setOpset('my.domain', 3);
      return s.node('Special', [x], [2, 3], [], { domain: 'my.domain' })[0]!;
    });
    expect(error.detail).toContain('node "n-Special" (my.domain.Special), opset 3: is a custom operator');
  });

  it('onnxruntime’s fused attention', () => {
    const error = refusal((s, x) => {
      s.graph.setOpset('com.microsoft', 1);
      return s.node('MultiHeadAttention', [x], [2, 3], [], { domain: 'com.microsoft' })[0]!;
    });
    expect(error.code).toBe('unsupported_graph');
    expect(error.detail).toContain('(com.microsoft.MultiHeadAttention), opset 1: is fused attention');
  });

  it('an opset before 16', () => {
    const error = refusal((s, x) => s.node('Exp', [x])[0]!, { opset: 15 });
    expect(error.code).toBe('unsupported_graph');
    expect(error.detail).toContain('it has opset 15; opset 16 or later is needed');
  });

  it('an output other than the first', () => {
    const error = refusal(
      (s, x) => s.node('LayerNormalization', [x, s.floats('w', [3], 1, 2, 3)], [2, 3], [], { outputs: 2 })[1]!,
    );
    expectRefusal(error, 'LayerNormalization', 18, 'the loss depends on its output 1, which has no gradient');
  });

  it('an input that has no gradient', () => {
    const error = refusal((s, x) => s.node('Pad', [s.floats('w', [2], 1, 2), s.ints('pads', 1, 1), x], [4])[0]!);
    expectRefusal(error, 'Pad', 18, 'there is no gradient for its input 2');
  });

  it('Dropout in training', () => {
    const error = refusal((s, x) => s.node('Dropout', [x, '', s.input('training', [], 'BOOL')])[0]!);
    expectRefusal(error, 'Dropout', 18, 'training mode; export the model in eval mode');
  });

  it('BatchNormalization in training', () => {
    const error = refusal((s, x) => {
      const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => s.floats(name, [3], 1, 2, 3));
      return s.node('BatchNormalization', [x, a!, b!, c!, d!], [2, 3], [intAttribute('training_mode', 1)], {
        outputs: 3,
      })[0]!;
    });
    expectRefusal(error, 'BatchNormalization', 18, 'training mode; export the model in eval mode');
  });

  it('a reduction over computed axes', () => {
    const error = refusal((s, x) => s.node('ReduceMean', [x, s.input('axes', [1], 'I64')], [2, 1])[0]!);
    expectRefusal(error, 'ReduceMean', 18, 'its axes are computed; they must be constant');
  });

  it('Tile with computed repeats', () => {
    const error = refusal((s, x) => s.node('Tile', [x, s.input('repeats', [2], 'I64')], ['N', 3])[0]!);
    expectRefusal(error, 'Tile', 18, 'its repeats are computed; they must be constant');
  });

  it('Pad with computed pads', () => {
    const error = refusal((s, x) => s.node('Pad', [x, s.input('pads', [4], 'I64')], [4, 3])[0]!);
    expectRefusal(error, 'Pad', 18, 'its pads are computed; they must be constant');
  });

  it('Pad of an axis without a fixed size', () => {
    const error = refusal((s) => {
      const open = s.node('Exp', ['x'], ['N', 3])[0]!;
      return s.node('Pad', [open, s.ints('pads', 1, 0, 0, 0)], ['M', 3])[0]!;
    });
    expectRefusal(error, 'Pad', 18, 'axis 0 has no fixed size');
  });

  it('a scatter that multiplies', () => {
    const error = refusal(
      (s, x) => s.node('ScatterND', [x, s.ints('at', 0), x], [2, 3], [stringAttribute('reduction', 'mul')])[0]!,
    );
    expectRefusal(error, 'ScatterND', 18, 'reduction "mul"');
  });

  it('Einsum with a letter twice in one operand', () => {
    const error = refusal((s, x) => s.node('Einsum', [x], [], [stringAttribute('equation', 'ii->')])[0]!);
    expectRefusal(error, 'Einsum', 18, 'a letter is twice in one operand of its equation');
  });

  it('Einsum with ellipses of two lengths', () => {
    const equation = stringAttribute('equation', '...,...a->...');
    const error = refusal((s, x) => s.node('Einsum', [x, x], [2, 3], [equation])[0]!);
    expectRefusal(error, 'Einsum', 18, 'its ellipsis stands for different numbers of axes');
  });

  it('Einsum that broadcasts', () => {
    const equation = stringAttribute('equation', 'ab,ab->ab');
    const error = refusal((s, x) => s.node('Einsum', [x, s.floats('w', [2, 1], 1, 2)], [2, 3], [equation])[0]!);
    expectRefusal(error, 'Einsum', 18, 'the letter b of its equation stands for 3 and 1');
  });

  it('an unknown approximation of Gelu', () => {
    const error = refusal((s, x) => s.node('Gelu', [x], [2, 3], [stringAttribute('approximate', 'best')])[0]!, {
      opset: 20,
    });
    expectRefusal(error, 'Gelu', 20, 'approximation "best"');
  });

  it('a convolution of images without a fixed size', () => {
    const error = refusal((s) => {
      const image = s.node('Exp', ['x'], [1, 2, 'H', 'W'])[0]!;
      const weight = s.floats('w', [1, 2, 1, 1], 1, 2);
      return s.node('Conv', [image, weight], [1, 1, 'H', 'W'])[0]!;
    });
    expectRefusal(error, 'Conv', 18, 'its spatial sizes must be fixed');
  });

  it('a convolution over three axes, where every provider must have a kernel', () => {
    const error = refusal(
      (s) => {
        const image = s.node('Exp', ['x'], [1, 1, 2, 2, 2])[0]!;
        return s.node('Conv', [image, s.floats('w', [1, 1, 1, 1, 1], 2)], [1, 1, 2, 2, 2])[0]!;
      },
      { portable: true },
    );
    expectRefusal(error, 'Conv', 18, 'ConvTranspose over three axes is missing in an execution provider');
  });

  const resize = (dims: readonly Dim[], inputs: (small: Small) => string[], attributes: AttributeProto[] = []) =>
    refusal((s) => s.node('Resize', [s.node('Exp', ['x'], [1, 1, 2, 3])[0]!, '', ...inputs(s)], dims, attributes)[0]!);

  it('Resize by computed scales', () => {
    const error = resize([1, 1, 'H', 'W'], (s) => [s.input('scales', [4])]);
    expectRefusal(error, 'Resize', 18, 'its scales are computed; they must be constant');
  });

  it('Resize to a size that is not fixed', () => {
    const error = resize([1, 1, 'H', 3], (s) => ['', s.input('sizes', [4], 'I64')]);
    expectRefusal(error, 'Resize', 18, 'axis 2 has no fixed size');
  });

  it('Resize that moves entries and keeps the size', () => {
    const error = resize([1, 1, 2, 3], (s) => [s.floats('scales', [4], 1, 1, 1.25, 1)]);
    expectRefusal(error, 'Resize', 18, 'axis 2 is scaled by 1.25 and keeps its size');
  });

  it('Resize of a region', () => {
    const region = stringAttribute('coordinate_transformation_mode', 'tf_crop_and_resize');
    const error = resize([1, 1, 4, 3], (s) => [s.floats('scales', [4], 1, 1, 2, 1)], [region]);
    expectRefusal(error, 'Resize', 18, 'coordinate transformation "tf_crop_and_resize"');
  });

  it('Resize that keeps the ratio of the sides', () => {
    const ratio = stringAttribute('keep_aspect_ratio_policy', 'not_larger');
    const error = resize([1, 1, 4, 6], (s) => ['', s.ints('sizes', 1, 1, 4, 6)], [ratio]);
    expectRefusal(error, 'Resize', 18, 'keep_aspect_ratio_policy "not_larger"');
  });

  it('MaxPool that counts columns first', () => {
    const attributes = [intsAttribute('kernel_shape', [1]), intAttribute('storage_order', 1)];
    const error = refusal((s) => s.node('MaxPool', [s.node('Exp', ['x'], [1, 2, 3])[0]!], [1, 2, 3], attributes)[0]!);
    expectRefusal(error, 'MaxPool', 18, 'column-major storage_order');
  });

  it('Attention with a cache', () => {
    const error = refusal(
      (s) => {
        const q = s.node('Exp', ['x'], [1, 1, 2, 2])[0]!;
        return s.node(
          'Attention',
          [q, q, q, '', s.input('k', [1, 1, 1, 2]), s.input('v', [1, 1, 1, 2])],
          [1, 1, 2, 2],
        )[0]!;
      },
      { opset: 23 },
    );
    expectRefusal(error, 'Attention', 23, 'past keys and values; export the model without a cache');
  });

  it('Attention of which other outputs are used', () => {
    const error = refusal(
      (s) => {
        const q = s.node('Exp', ['x'], [1, 1, 2, 2])[0]!;
        const [y, key] = s.node('Attention', [q, q, q], [1, 1, 2, 2], [], { outputs: 2 });
        return s.node('Add', [y!, key!], [1, 1, 2, 2])[0]!;
      },
      { opset: 23 },
    );
    expectRefusal(error, 'Attention', 23, 'its further outputs are used');
  });

  it('causal Attention over lengths that are not fixed', () => {
    const error = refusal(
      (s) => {
        const q = s.node('Exp', ['x'], [1, 1, 'L', 2])[0]!;
        return s.node('Attention', [q, q, q], [1, 1, 'L', 2], [intAttribute('is_causal', 1)])[0]!;
      },
      { opset: 23 },
    );
    expectRefusal(error, 'Attention', 23, 'with is_causal, the lengths of queries and keys must be fixed');
  });
});

describe('requests that do not fit the graph are refused', () => {
  const request = (of: string, wrt: string[], edit: (small: Small) => void = () => {}): string => {
    const small = new Small();
    const x = small.input('x');
    small.input('i', [2], 'I64');
    const [y] = small.node('Exp', [x]);
    small.graph.rename(y!, 'y');
    small.shapes.set('y', { type: 'float32', dims: [2, 3] });
    small.graph.rename(small.loss('y'), 'loss');
    small.shapes.set('loss', { type: 'float32', dims: [] });
    edit(small);
    const error = caught(() => gradients(small.graph, { of, wrt, shapes: small.shapes }));
    expect(error.code).toBe('invalid_graph');
    return error.detail;
  };

  it('a loss that is not there', () => {
    expect(request('nothing', ['x'])).toBe('model.onnx: the loss "nothing" is not in the graph');
  });

  it('a value that is not there', () => {
    expect(request('loss', ['x', 'nothing'])).toBe('model.onnx: the value "nothing" is not in the graph');
  });

  it('a value of integers', () => {
    expect(request('loss', ['i'])).toBe('model.onnx: the value "i" is of dtype I64, not a float');
  });

  it('a loss of several elements', () => {
    expect(request('y', ['x'])).toBe('model.onnx: the loss "y" has shape [2, 3]; it must have one element');
  });

  it('a value on the way whose type is not known', () => {
    const detail = request('loss', ['x'], ({ shapes }) => shapes.delete('y'));
    expect(detail).toBe('model.onnx: the type of the value "y" is needed and was not given');
  });
});

describe('what is not on the way', () => {
  it('may be anything', () => {
    const small = new Small();
    const x = small.input('x');
    const other = small.node('Loop', ['', '', small.input('other')])[0]!;
    const after = small.node('LSTM', [x])[0]!;
    const of = small.loss(small.node('Mul', [x, other])[0]!);
    small.graph.addOutput(after);
    expect([...gradients(small.graph, { of, wrt: [x], shapes: small.shapes }).gradients.keys()]).toEqual(['x']);
  });

  it('may be without known types', () => {
    const small = new Small();
    const x = small.input('x');
    const of = small.loss(small.node('Exp', [x])[0]!);
    const [aside] = small.node('Det', [x]);
    small.shapes.delete(aside!);
    expect(gradients(small.graph, { of, wrt: [x], shapes: small.shapes }).independent).toEqual([]);
  });
});
