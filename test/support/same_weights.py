"""Loads two folders with transformers and prints, as JSON, the weights in which they differ (transformers.test.ts)."""

import json
import sys

import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def weights(folder):
    config = json.loads(open(f"{folder}/config.json").read())
    model = getattr(transformers, config["architectures"][0]).from_pretrained(folder, dtype=torch.bfloat16)
    return model.state_dict()


ours, theirs = map(weights, sys.argv[1:])
differing = sorted(ours.keys() ^ theirs.keys())
differing += [name for name in ours.keys() & theirs.keys() if not torch.equal(ours[name], theirs[name])]
print(json.dumps({"weights": len(ours), "differing": differing}))
