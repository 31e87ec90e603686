"""One measured run of layer-wise AdaMerging in PyTorch (Yang et al., ICLR 2024), on the files that the other side reads:

    python tune_torch.py FOLDER TASK,TASK,… --heads 12 --variant kept|each|joined|forward --steps 5 --threads 2

Prints a line of JSON per step, {"seconds", "loss"}, and a last one, {"setup", "rss"}: seconds before the first step, and the
process' peak resident bytes. Needs torch and safetensors.

Merged weights are base + sum over tasks of clamp(coefficient, 0, 1) x task vector, one coefficient per tensor and task, the
loss is the sum over tasks of the mean entropy, the optimiser is Adam. How the gradient is taken:

kept      the graphs of all tasks are kept until one backward pass, as in the published code
each      a backward pass per task as far as the merged weights, which add up their gradients; one more through the merge
joined    the encoder, which tasks share, runs once on all tasks' images; one backward pass
forward   no gradient, merged weights computed once
"""

import argparse
import json
import math
import os
import resource
import time

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn
from torch.func import functional_call

BATCH = 16


class Block(nn.Module):
    def __init__(self, hidden, mlp, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(hidden)
        self.q, self.k, self.v, self.proj = (nn.Linear(hidden, hidden) for _ in range(4))
        self.norm2 = nn.LayerNorm(hidden)
        self.fc1 = nn.Linear(hidden, mlp)
        self.fc2 = nn.Linear(mlp, hidden)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x):
        y = self.norm1(x)
        y = F.scaled_dot_product_attention(self.split(self.q(y)), self.split(self.k(y)), self.split(self.v(y)))
        x = x + self.proj(y.transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Encoder(nn.Module):
    """A pre-norm vision transformer whose output is the class token's."""

    def __init__(self, shapes, heads):
        super().__init__()
        hidden, channels, patch, _ = shapes["patch_embed.weight"]
        mlp = shapes["blocks.0.fc1.weight"][0]
        count = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks."))
        self.cls_token = nn.Parameter(torch.empty(shapes["cls_token"]))
        self.pos_embed = nn.Parameter(torch.empty(shapes["pos_embed"]))
        self.patch_embed = nn.Conv2d(channels, hidden, patch, patch)
        self.blocks = nn.Sequential(*(Block(hidden, mlp, heads) for _ in range(count)))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, pixels):
        x = self.patch_embed(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.norm(self.blocks(x))[:, 0]


def entropy(logits):
    log_p = F.log_softmax(logits, -1)
    return -(log_p.exp() * log_p).sum(-1).mean()


def short(name):
    return name.removeprefix("encoder.")


class Merge:
    """Base and task vectors; all of a tensor's task vectors are one matrix, so that its merge is one product."""

    def __init__(self, folder, tasks):
        self.base, self.vectors, self.heads = {}, {}, []
        # A file at a time, so that no more than one is mapped.
        with safe_open(os.path.join(folder, "base.safetensors"), "pt") as file:
            for name in file.keys():
                self.base[name] = file.get_tensor(name).clone()
                self.vectors[name] = torch.empty(len(tasks), self.base[name].numel())
        for row, task in enumerate(tasks):
            with safe_open(os.path.join(folder, f"{task}.safetensors"), "pt") as file:
                for name, base in self.base.items():
                    torch.sub(file.get_tensor(name).flatten(), base.flatten(), out=self.vectors[name][row])
                self.heads.append((file.get_tensor("head.weight").clone(), file.get_tensor("head.bias").clone()))
        self.coefficients = nn.Parameter(torch.full((len(self.base), len(tasks)), 0.3))

    def weights(self):
        rows = self.coefficients.clamp(0, 1).unbind()
        return {
            short(name): base + (row @ self.vectors[name]).view_as(base)
            for row, (name, base) in zip(rows, self.base.items())
        }


def main():
    started = time.perf_counter()
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("tasks", type=lambda text: text.split(","))
    parser.add_argument("--heads", type=int, required=True)
    parser.add_argument("--variant", choices=["kept", "each", "joined", "forward"], required=True)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    merge = Merge(args.folder, args.tasks)
    with torch.device("meta"):
        encoder = Encoder({short(name): tensor.shape for name, tensor in merge.base.items()}, args.heads)
    data = []
    for name in args.tasks:
        with safe_open(os.path.join(args.folder, f"{name}.unlabeled.safetensors"), "pt") as file:
            data.append(file.get_tensor("pixel_values").clone())

    def images(step, task):
        at = step % (len(data[task]) // BATCH) * BATCH
        return data[task][at : at + BATCH]

    def logits(weights, step, task):
        return F.linear(functional_call(encoder, weights, (images(step, task),)), *merge.heads[task])

    everything = range(len(args.tasks))
    optimiser = torch.optim.Adam([merge.coefficients], lr=1e-3)

    def kept(step):
        weights = merge.weights()
        loss = sum(entropy(logits(weights, step, task)) for task in everything)
        loss.backward()
        return loss.item()

    def each(step):
        merged = merge.weights()
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in merged.items()}
        total = 0.0
        for task in everything:
            loss = entropy(logits(leaves, step, task))
            loss.backward()
            total += loss.item()
        torch.autograd.backward(list(merged.values()), [leaf.grad for leaf in leaves.values()])
        return total

    def joined(step):
        pixels = torch.cat([images(step, task) for task in everything])
        features = functional_call(encoder, merge.weights(), (pixels,)).split(BATCH)
        loss = sum(entropy(F.linear(part, *head)) for part, head in zip(features, merge.heads))
        loss.backward()
        return loss.item()

    def stepped(gradient):
        def run(step):
            optimiser.zero_grad()
            loss = gradient(step)
            optimiser.step()
            return loss

        return run

    if args.variant == "forward":
        with torch.no_grad():
            fixed = merge.weights()

        def run(step):
            with torch.no_grad():
                return sum(entropy(logits(fixed, step, task)).item() for task in everything)
    else:
        run = stepped({"kept": kept, "each": each, "joined": joined}[args.variant])

    setup = time.perf_counter() - started
    for step in range(args.steps):
        begun = time.perf_counter()
        loss = run(step)
        if not math.isfinite(loss):
            raise SystemExit(f"step {step}: the loss is {loss}")
        print(json.dumps({"seconds": time.perf_counter() - begun, "loss": loss}), flush=True)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"setup": setup, "rss": rss}), flush=True)


if __name__ == "__main__":
    main()
