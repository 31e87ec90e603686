"""Loads each folder named on the command line with transformers (transformers.test.ts); prints, as JSON by folder, what is wrong.

Wrong is whatever transformers reports: weights that are missing, unexpected or of another shape, and files that safetensors refuses.
"""

import json
import sys
from pathlib import Path

import transformers
from safetensors import safe_open

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def problems(folder):
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():
                tensors.get_tensor(name)
    config = json.loads((folder / "config.json").read_text())
    model_class = getattr(transformers, config["architectures"][0])
    model, report = model_class.from_pretrained(folder, output_loading_info=True)
    found = {key: sorted(map(str, value)) for key, value in report.items() if value}
    dtypes = sorted({str(parameter.dtype) for parameter in model.parameters()})
    return {"problems": found, "dtypes": dtypes}


def describe(folder):
    try:
        return problems(Path(folder))
    except Exception as error:  # the test shows it
        return {"problems": repr(error), "dtypes": []}


print(json.dumps({folder: describe(folder) for folder in sys.argv[1:]}))
