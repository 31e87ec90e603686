import { type Graph, rawTensor } from '@amalgam/onnx';
import { type Origin, storedValues } from './bind-contents.js';
import { bytesAs } from './bind-round.js';
import { type Binding, bindingOf } from './bind-types.js';
import type { StoredCheckpoint } from './stored.js';
import { biasOf, layoutOf, outputChannels } from './unfold-layout.js';

/**
 * PyTorch's torch.export-based exporter leaves out biases of zeros. Where the checkpoint that a bound weight comes
 * from has such a bias, the convolution or linear layer gets it back: other models' may not be zero. Returns their
 * bindings.
 */
export async function restoreBiases(
  graph: Graph,
  bindings: readonly Binding[],
  checkpoints: Readonly<Record<Origin, StoredCheckpoint>>,
): Promise<Binding[]> {
  const bound = new Map(bindings.map((binding) => [binding.initializer, binding]));
  const restored: Binding[] = [];
  for (const node of graph.nodes()) {
    const weight = bound.get(node.input[1] ?? '');
    if (weight === undefined || node.input[2]) continue;
    const layout = layoutOf(node, weight.dims);
    const bias = layout && biasOf(checkpoints[weight.from], weight.tensor, outputChannels(layout));
    if (bias === null || (await storedValues(bias)).some((value) => value !== 0)) continue;
    const name = graph.freshName(bias.name);
    const tensor = rawTensor(name, weight.dtype, bias.shape, bytesAs(weight.dtype, await storedValues(bias)));
    graph.setInput(node, 2, graph.setInitializer(tensor));
    restored.push(bindingOf(name, tensor, { tensor: bias, from: weight.from, transposed: false }, 'unfolded'));
  }
  return restored;
}
