"""Two fine-tuned models into one, with a service of Amalgam: AMALGAM_API_KEY=amk_… python client.py BASE A B OUT (files)."""
import os, pathlib, requests, sys, time

url, key = os.environ.get("AMALGAM_URL", "http://127.0.0.1:8080") + "/v1", os.environ["AMALGAM_API_KEY"]

def call(method, path, body=None):
    answer = requests.request(method, url + path, json=body, headers={"Authorization": f"Bearer {key}"}, timeout=600)
    return answer if answer.ok else sys.exit(f"{answer.json()['code']}: {answer.json()['detail']}")

def upload(path):
    file = {"path": "model.safetensors", "bytes": path.stat().st_size}
    begun = call("POST", "/checkpoints", {"name": path.stem, "files": [file]}).json()
    requests.put(begun["uploads"][0]["url"], data=path.open("rb"), timeout=600).raise_for_status()
    return call("POST", f"/checkpoints/{begun['id']}/complete").json()["id"]

base, *models = [upload(pathlib.Path(path)) for path in sys.argv[1:4]]
recipe = {"method": "ties", "base": base, "models": [{"model": model} for model in models], "parameters": {"density": 0.2}}
merge = call("POST", "/merges", {"recipe": recipe}).json()
while merge["state"] in ("queued", "running"):
    time.sleep(1)
    merge = call("GET", f"/merges/{merge['id']}").json()
if merge["state"] != "succeeded":
    sys.exit(f"{merge['id']} {merge['state']}: {merge['error']}")
pathlib.Path(sys.argv[4]).write_bytes(call("GET", f"/merges/{merge['id']}/files/model.safetensors").content)
