"""Two models fine-tuned from one base, merged with coefficients that Amalgam learns from images without labels.

    pip install torch safetensors requests onnx onnxscript
    AMALGAM_API_KEY=amk_... python examples/python/adamerging.py --url http://127.0.0.1:8080

The script itself uses torch, safetensors and requests; torch.onnx.export asks for onnx and onnxscript.
docs/adamerging.md explains it part by part. For models of your own replace what stands above "What Amalgam needs".
"""

import argparse
import copy
import hashlib
import json
import os
import sys
import uuid
from pathlib import Path

import requests
import torch
from requests.adapters import HTTPAdapter, Retry
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

# ── Models and data: a small vision transformer, and two tasks on images that are made up ───────────────────────────

SIZE, PATCH, WIDTH = 16, 4, 32


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        y = self.norm1(x)
        q, k, v = (part(y).unflatten(-1, (2, -1)).transpose(1, 2) for part in [self.q, self.k, self.v])
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, PATCH, stride=PATCH)
        self.positions = nn.Parameter(0.3 * torch.randn((SIZE // PATCH) ** 2, WIDTH))
        self.blocks = nn.Sequential(Block(), Block())
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, pixels):
        tokens = self.patches(pixels).flatten(2).transpose(1, 2) + self.positions
        return self.norm(self.blocks(tokens)).mean(dim=1)


class Classifier(nn.Module):
    def __init__(self, encoder, classes):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(WIDTH, classes)

    def forward(self, pixels):
        return self.head(self.encoder(pixels))


def bars(rows):
    """Which of four directions a bar has."""
    labels = torch.randint(4, (rows,))
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    across = torch.stack([y.float(), x.float(), (y - x) / 2**0.5, (y + x) / 2**0.5])[labels]
    middle = torch.tensor([7.5, 7.5, 0.0, 10.6])[labels] + 4 * torch.rand(rows) - 2
    return noisy((across - middle[:, None, None]).abs() < 1.5), labels


def corners(rows):
    """In which of four quarters a square lies."""
    labels = torch.randint(4, (rows,))
    top, left = (part * 8 + torch.randint(0, 4, (rows,)) for part in (labels // 2, labels % 2))
    y, x = torch.arange(SIZE)[:, None], torch.arange(SIZE)[None, :]
    down, right = y - top[:, None, None], x - left[:, None, None]
    return noisy((down >= 0) & (down < 4) & (right >= 0) & (right < 4)), labels


def noisy(shapes):
    return (shapes.float() + 0.5 * torch.randn(shapes.shape)).unsqueeze(1)


def train(modules, sources, steps):
    """Trains the modules that want a gradient, each on its own source of batches."""
    wanted = {id(p): p for module in modules for p in module.parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(wanted.values(), lr=2e-3)
    for _ in range(steps):
        loss = 0
        for module, source in zip(modules, sources):
            pixels, labels = source(64)
            loss = loss + F.cross_entropy(module(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def make_models():
    """A base that knows a little of both tasks; for each task its encoder trained on, under a head that stays."""
    encoder, sources = Encoder(), {"bars": bars, "corners": corners}
    joint = [Classifier(encoder, 4) for _ in sources]
    train(joint, sources.values(), steps=40)
    models = {}
    for (task, source), start in zip(sources.items(), joint):
        model = copy.deepcopy(start)
        model.head.requires_grad_(False)
        train([model], [source], steps=80)
        models[task] = model.eval()
    return encoder, models, sources


# ── What Amalgam needs: checkpoints, graphs, datasets ───────────────────────────────────────────────────────────────


def export_graph(model, example, path):
    """The forward pass as ONNX. The first dimension of input and output is the batch, and stays open."""
    torch.onnx.export(
        model.eval(),
        (example,),
        path,
        input_names=["pixels"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )


def export_graph_torchscript(model, example, path):
    """The same by the older exporter, which needs no onnxscript."""
    torch.onnx.export(
        model.eval(),
        (example,),
        path,
        dynamo=False,
        opset_version=17,
        input_names=["pixels"],
        output_names=["logits"],
        dynamic_axes={"pixels": {0: "batch"}, "logits": {0: "batch"}},
    )


def write_inputs(folder, base, models, sources, export):
    """One folder for each thing to upload."""
    for name in ["base", *models]:
        (folder / name / "checkpoint").mkdir(parents=True, exist_ok=True)
    # The base has no head; its tensors have the names that they have in the models.
    encoder = {f"encoder.{name}": tensor for name, tensor in base.state_dict().items()}
    save_file(encoder, folder / "base/checkpoint/model.safetensors")
    for task, model in models.items():
        save_file(model.state_dict(), folder / task / "checkpoint/model.safetensors")
        for part in ["graph", "unlabeled", "labeled"]:
            (folder / task / part).mkdir(exist_ok=True)
        # Two rows: of one, the exporter concludes that a batch has one row.
        export(model, sources[task](2)[0], str(folder / task / "graph/model.onnx"))
        pixels, _ = sources[task](512)
        save_file({"pixels": pixels}, folder / task / "unlabeled/data.safetensors")
        pixels, labels = sources[task](512)
        save_file({"pixels": pixels, "labels": labels}, folder / task / "labeled/data.safetensors")


# ── The service ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Amalgam:
    def __init__(self, url, key):
        self.url = url.rstrip("/") + "/v1"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"
        # POST too is repeated after a lost answer: it carries an Idempotency-Key, or may be said twice.
        retry = Retry(
            total=5, backoff_factor=0.5, status_forcelist=[429, 502, 503], allowed_methods=None, raise_on_status=False
        )
        self.session.mount(self.url, HTTPAdapter(max_retries=retry))

    def request(self, method, path, **options):
        answer = self.session.request(method, self.url + path, timeout=(10, 300), **options)
        if not answer.ok:
            problem = answer.json()
            sys.exit(f"{method} {path}: {problem['status']} {problem['code']}: {problem['detail']}")
        return answer

    def upload(self, kind, name, folder):
        """Uploads a folder's files as one checkpoint, graph or dataset. The same files a second time: the same id."""
        paths = sorted(path for path in folder.iterdir() if path.is_file())
        files = [{"path": p.name, "bytes": p.stat().st_size, "sha256": digest(p)} for p in paths]
        body = {"name": name, "files": files}
        key = hashlib.sha256(json.dumps([kind, body]).encode()).hexdigest()
        begun = self.request("POST", f"/{kind}", json=body, headers={"Idempotency-Key": key}).json()
        if self.request("GET", f"/{kind}/{begun['id']}").json()["state"] == "pending":
            for target in begun["uploads"]:
                with open(folder / target["path"], "rb") as file:
                    # The URL is signed: it wants no key, and may lead to another server.
                    requests.put(target["url"], data=file, timeout=(10, 300)).raise_for_status()
            self.request("POST", f"/{kind}/{begun['id']}/complete", json={})
        return begun["id"]

    def events(self, merge):
        """The merge's events until it has ended; a connection that breaks is opened again where it was."""
        path, last = f"/merges/{merge}/events", "0"
        while True:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
            try:
                with self.request("GET", path, headers=headers, stream=True) as stream:
                    if stream.status_code == 204:
                        return
                    for line in stream.iter_lines(decode_unicode=True):
                        if line.startswith("id: "):
                            last = line[4:]
                        elif line.startswith("data: "):
                            yield json.loads(line[6:])
            except requests.RequestException as error:
                print(f"  the connection broke ({type(error).__name__}); going on after event {last}")

    def download(self, merge, path, folder):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.request("GET", f"/merges/{merge}/files/{path}", stream=True) as answer, open(target, "wb") as file:
            for chunk in answer.iter_content(1 << 20):
                file.write(chunk)
        return target


def digest(path):
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
    return sha256.hexdigest()


def upload_all(service, folder, tasks, parameters):
    """Uploads everything, and writes the recipe."""
    recipe = {
        "method": "adamerging",
        "base": service.upload("checkpoints", "base", folder / "base/checkpoint"),
        "models": [],
        "parameters": parameters,
        "tasks": [],
    }
    for task in tasks:
        model = service.upload("checkpoints", task, folder / task / "checkpoint")
        recipe["models"].append({"model": model, "name": task})
        recipe["tasks"].append(
            {
                "name": task,
                "model": model,
                "graph": service.upload("graphs", task, folder / task / "graph"),
                "data": service.upload("datasets", f"{task} unlabeled", folder / task / "unlabeled"),
                "evaluation": service.upload("datasets", f"{task} labeled", folder / task / "labeled"),
            }
        )
    return recipe


def run_merge(service, recipe):
    """Asks whether the recipe is right, then for the merge; prints what happens until it has ended."""
    service.request("POST", "/merges/plan", json={"recipe": recipe})
    body = {"name": recipe["method"], "recipe": recipe}
    merge = service.request("POST", "/merges", json=body, headers={"Idempotency-Key": str(uuid.uuid4())}).json()["id"]
    for event in service.events(merge):
        tuning = event["data"].get("tuning")
        if tuning:
            losses = ", ".join(f"{loss:.4f}" for loss in tuning["losses"])
            print(f"  step {tuning['step']} of {tuning['steps']}: loss {tuning['loss']:.4f} ({losses})")
        else:
            print(f"  {event['type']} {event['data'].get('stage') or ''}".rstrip())
    merge = service.request("GET", f"/merges/{merge}").json()
    if merge["state"] != "succeeded":
        error = merge["error"] or {"code": merge["state"], "detail": ""}
        sys.exit(f"the merge {merge['state']}: {error['code']}: {error['detail']}")
    return merge


# ── What came out ───────────────────────────────────────────────────────────────────────────────────────────────────


def show_coefficients(report):
    """A row for each tensor, a column for each model; as they entered the merge, so clamped."""
    coefficients = report["coefficients"]
    low, high = coefficients["clamp"] or (-float("inf"), float("inf"))
    insensitive = set(report["tuning"]["insensitive"])
    width = max(map(len, coefficients["tensors"]))
    print(" " * width, *(f"{model:>15}" for model in coefficients["models"]))
    for tensor, row in zip(coefficients["tensors"], coefficients["values"]):
        clamped = [min(max(value, low), high) for value in row]
        cells = [f"{'█' * round(8 * min(max(value, 0), 1)):<8} {value:6.3f}" for value in clamped]
        print(f"{tensor:<{width}}", *cells, "insensitive" if tensor in insensitive else "")


def show_tasks(report):
    print(f"{report['method']:<18}{'individual':>18}{'base':>18}{'merged':>18}")
    for task in report["tasks"]:
        scores = [task["individual"], task["base"], task]
        cells = [f"{100 * score['accuracy']:6.1f} %, {score['entropy']:.4f}" for score in scores]
        print(f"{task['name']:<18}", *(f"{cell:>17}" for cell in cells))


def load_merged(service, merge, folder, task, model):
    """The merged encoder with a task's own head, in the model that it came from."""
    for file in merge["result"]["files"]:
        if not (folder / file["path"]).exists():
            service.download(merge["id"], file["path"], folder)
    merged = {**load_file(folder / "model.safetensors"), **load_file(folder / f"heads/{task}.safetensors")}
    model = copy.deepcopy(model)
    model.load_state_dict(merged)
    return model.eval()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", default="http://127.0.0.1:8080")
    arguments.add_argument("--out", type=Path, default=Path("adamerging-out"), help="where files go")
    arguments.add_argument("--steps", type=int, default=200)
    arguments.add_argument("--granularity", choices=["layer", "task"], default="layer")
    arguments.add_argument("--torchscript", action="store_true", help="export with the older exporter")
    arguments = arguments.parse_args()
    if "AMALGAM_API_KEY" not in os.environ:
        sys.exit("set AMALGAM_API_KEY to a key of the service")

    service = Amalgam(arguments.url, os.environ["AMALGAM_API_KEY"])
    try:
        service.request("GET", "/methods/adamerging")
    except requests.ConnectionError as error:
        sys.exit(f"no service at {arguments.url}: {error}")

    torch.manual_seed(0)
    torch.set_num_threads(1)  # more only slow so small a model down
    print("training")
    base, models, sources = make_models()
    inputs = arguments.out / "inputs"
    write_inputs(inputs, base, models, sources, export_graph_torchscript if arguments.torchscript else export_graph)

    parameters = {"granularity": arguments.granularity, "steps": arguments.steps, "learning_rate": 0.01}
    recipe = upload_all(service, inputs, models, parameters)
    print("merging with one coefficient for all, to compare with")
    plain = run_merge(service, {**recipe, "method": "task_arithmetic", "parameters": {"lambda": 0.3}})
    print("merging with coefficients that are learned")
    merge = run_merge(service, recipe)

    report = service.request("GET", f"/merges/{merge['id']}/report").json()
    show_coefficients(report)
    print("accuracy, and entropy in nats:")
    show_tasks(service.request("GET", f"/merges/{plain['id']}/report").json())
    show_tasks(report)
    result = arguments.out / merge["id"]
    with torch.no_grad():
        for task, model in models.items():
            data = load_file(inputs / task / "labeled/data.safetensors")
            logits = load_merged(service, merge, result, task, model)(data["pixels"])
            accuracy = (logits.argmax(dim=-1) == data["labels"]).float().mean()
            print(f"{task}: {100 * accuracy:.1f} % by PyTorch, with the merged weights from {result}")


if __name__ == "__main__":
    main()
