"""Shows that undertone and Python's huggingface_hub share one cache: each finds and reads what the other has fetched.

A small hub on 127.0.0.1 serves the models in tests/fixtures; nothing else is contacted. Needs huggingface_hub, transformers
and torch:

    cargo build && python scripts/hub_interop.py target/debug/undertone
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
MODELS = {
    "ana/names": ROOT / "tests/fixtures/bert/token",
    "shards": ROOT / "tests/fixtures/families/forms/sharded-bf16",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REQUESTS: list[str] = []


def etag(path: Path) -> tuple[str, bool]:
    """The hub's name for a file, and whether it is kept as a large one."""
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        return hashlib.sha256(data).hexdigest(), True
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), False


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status: int, headers: dict[str, str], body: bytes = b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        REQUESTS.append(f"{self.command} {path}")
        if path.startswith("/large/"):
            return self.file(ROOT / path.removeprefix("/large/"), {})
        for repo, folder in MODELS.items():
            if path.startswith(f"/api/models/{repo}/tree/"):
                # Asked for chat templates, which none of them has.
                return self.answer(404, {"X-Error-Code": "EntryNotFound"})
            if path.startswith(f"/api/models/{repo}"):
                names = sorted(file.name for file in folder.iterdir())
                siblings = [{"rfilename": name} for name in names]
                body = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
                return self.answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
            for revision in ("main", COMMIT):
                prefix = f"/{repo}/resolve/{revision}/"
                if path.startswith(prefix):
                    return self.resolve(folder / path.removeprefix(prefix))
        self.answer(404, {"X-Error-Code": "RepoNotFound"})

    def resolve(self, file: Path):
        headers = {"X-Repo-Commit": COMMIT}
        if not file.is_file():
            return self.answer(404, headers | {"X-Error-Code": "EntryNotFound"})
        tag, large = etag(file)
        if not large:
            return self.file(file, headers | {"ETag": f'"{tag}"'})
        linked = {"X-Linked-Etag": f'"{tag}"', "X-Linked-Size": str(file.stat().st_size)}
        location = f"http://localhost:{self.server.server_port}/large/{file.relative_to(ROOT)}"
        self.answer(302, headers | linked | {"Location": location})

    def file(self, file: Path, headers: dict[str, str]):
        body = file.read_bytes()
        self.answer(200, headers | {"Content-Length": str(len(body))}, body)


def check(what: str, holds: bool):
    print(f"{'ok' if holds else 'FAILED'}  {what}", flush=True)
    if not holds:
        sys.exit(1)


def main():
    program = str(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/undertone").resolve())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in list(os.environ):
        if name.upper().startswith("HF_") or name.upper().endswith("_PROXY"):
            del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="hub-interop-"))
    os.environ |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    # Only now, since they read the environment once.
    import huggingface_hub
    import torch
    import transformers
    from huggingface_hub import hf_hub_download, scan_cache_dir, try_to_load_from_cache
    from huggingface_hub.file_download import _CACHED_NO_EXIST
    from huggingface_hub.utils import WeakFileLock
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    print(f"huggingface_hub {huggingface_hub.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")

    def undertone(cache: Path, *args: str, offline: bool = False, text: str | None = None) -> subprocess.CompletedProcess:
        env = os.environ | {"HF_HUB_CACHE": str(cache)} | ({"HF_HUB_OFFLINE": "1"} if offline else {})
        return subprocess.run([program, *args], env=env, input=text, capture_output=True, text=True, timeout=120)

    def tags(cache: Path, model: str) -> list[str]:
        where = {"cache_dir": cache, "local_files_only": True}
        tokenizer = AutoTokenizer.from_pretrained(model, **where)
        network = AutoModelForTokenClassification.from_pretrained(model, **where).eval()
        with torch.no_grad():
            logits = network(**tokenizer("Ana Duarte met envoys in Zagreb", return_tensors="pt")).logits
        return [network.config.id2label[i] for i in logits[0].argmax(-1).tolist()]

    # What undertone has fetched, Python finds.
    ours = home / "ours"
    for model, folder in MODELS.items():
        pulled = undertone(ours, "models", "pull", model)
        check(f"undertone pulls {model}", pulled.returncode == 0)
        REQUESTS.clear()
        for file in sorted(folder.iterdir()):
            found = hf_hub_download(model, file.name, cache_dir=ours, local_files_only=True)
            check(
                f"Python finds {file.name} of {model} where undertone put it",
                found == str(Path(pulled.stdout.strip()) / file.name) and Path(found).read_bytes() == file.read_bytes(),
            )
        noted = try_to_load_from_cache(model, "undertone.json", cache_dir=ours)
        check(f"Python reads undertone's note that {model} has no undertone.json", noted is _CACHED_NO_EXIST)
    check(f"transformers loads ana/names from it: {tags(ours, 'ana/names')}", True)
    check("nothing of this asked the hub", not REQUESTS)
    scan = scan_cache_dir(ours)
    check(
        "scan_cache_dir sees both models, their refs and no fault",
        not scan.warnings
        and {repo.repo_id for repo in scan.repos} == set(MODELS)
        and all(set(repo.refs) == {"main"} and repo.refs["main"].commit_hash == COMMIT for repo in scan.repos),
    )
    listed = [json.loads(line) for line in undertone(ours, "models", "list").stdout.splitlines()]
    sizes = {repo.repo_id: repo.size_on_disk for repo in scan.repos}
    check("both tell the same sizes", {model["id"]: model["size"] for model in listed} == sizes)
    REQUESTS.clear()
    hf_hub_download("ana/names", "model.safetensors", cache_dir=ours)
    check("Python online does not fetch it again", not any(line.startswith("GET /large") for line in REQUESTS))

    # What Python has fetched, undertone finds.
    theirs = home / "theirs"
    AutoTokenizer.from_pretrained("ana/names", cache_dir=theirs)
    AutoModelForTokenClassification.from_pretrained("ana/names", cache_dir=theirs)
    REQUESTS.clear()
    ner = undertone(theirs, "ner", "--model", "ana/names", offline=True, text="Ana Duarte met envoys.")
    folder = undertone(theirs, "ner", "--model", str(MODELS["ana/names"]), text="Ana Duarte met envoys.")
    check("undertone answers offline from what transformers has fetched", ner.returncode == 0 and ner.stdout == folder.stdout)
    check("without asking the hub", not REQUESTS)
    verify = undertone(theirs, "models", "verify")
    check(f"undertone verifies Python's cache: {verify.stderr.strip()}", verify.returncode == 0)
    undertone(theirs, "models", "pull", "ana/names")
    check("undertone online does not fetch the weights again", not any(line.startswith("GET /large") for line in REQUESTS))

    # Each waits for the other.
    waits = home / "waits"
    blob, _ = etag(MODELS["ana/names"] / "model.safetensors")
    lock = waits / ".locks" / "models--ana--names" / f"{blob}.lock"
    lock.parent.mkdir(parents=True)
    env = os.environ | {"HF_HUB_CACHE": str(waits)}
    with WeakFileLock(lock):
        pull = subprocess.Popen([program, "models", "pull", "ana/names"], env=env, stdout=subprocess.DEVNULL)
        time.sleep(1.5)
        check("undertone waits for a lock that Python holds", pull.poll() is None)
    check("and goes on when it is free", pull.wait(timeout=60) == 0)

    # What undertone removes is gone for Python.
    removed = undertone(ours, "models", "remove", "shards")
    scan = scan_cache_dir(ours)
    check(
        f"undertone removes shards ({removed.stdout.strip()}), and Python's cache is without fault",
        removed.returncode == 0 and not scan.warnings and {repo.repo_id for repo in scan.repos} == {"ana/names"},
    )
    print("all checks hold")


if __name__ == "__main__":
    main()
