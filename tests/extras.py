"""One run of an installed gridcode with one of its extras; ``.ci/extras`` calls it in fresh environments.

    python tests/extras.py core|webdataset|datasets|ray|remote FOLDER

``core`` comes first: it checks that no package of an extra is there, and leaves images, a tokenizer and the images'
tokens in the folder. Each extra reads the same images its own way and must find the same tokens.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tarfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distributions, metadata, requires, version
from pathlib import Path
from threading import Thread

import pyarrow as pa
import torch
from PIL import Image

import gridcode
from gridcode.cli.main import main
from gridcode.data import Scenes
from gridcode.store import TokenStore

SIZE, COUNT = 32, 24
USED = ("codec", "fast", "audio", "video", "pretrained", "ray", "remote", "webdataset", "datasets")


def call(words: str) -> None:
    """Run a command, which must succeed."""
    assert main(words.split()) == 0, words


def pictures() -> list[bytes]:
    """Some images as files of PNG."""
    files = []
    for example in Scenes(seed=0, start=0, count=COUNT, size=SIZE):
        file = io.BytesIO()
        Image.fromarray(example.image).save(file, "png")
        files.append(file.getvalue())
    return files


def check_tokens(folder: Path, name: str, source: Path | str, options: str = "") -> None:
    """Tokenize a source's images, all of them for training; the tokens must be those of ``core``."""
    call(
        f"tokenize --tokenizer {folder}/tokenizer --out {folder}/{name} --data.source {source} "
        f"--data.val-source {folder}/pictures --data.size {SIZE} --data.workers 0 --batch-size 8 {options}"
    )
    found = TokenStore.open(folder / name).load("train").tokens
    assert len(found) == COUNT
    if name != "core":
        assert torch.equal(found, TokenStore.open(folder / "core").load("train").tokens)


def core(folder: Path) -> None:
    """Nothing but what gridcode needs, and a store to compare with."""
    named = (re.match(r"([\w.-]+).*extra == ['\"](\w+)['\"]", line) for line in requires("gridcode") or ())
    optional = {found[1].lower() for found in named if found and found[2] in USED} | {"webdataset", "datasets"}
    assert {"ray", "s3fs"} <= optional
    there = {distribution.metadata["Name"].lower() for distribution in distributions()}
    assert not optional & there, f"the core install has {optional & there}"
    (folder / "pictures").mkdir(parents=True)
    for number, data in enumerate(pictures()):
        (folder / "pictures" / f"{number:03d}.png").write_bytes(data)
    call(
        f"train tokenizer scenes_smoke --out {folder}/tokenizer --data.size {SIZE} --data.train-count 32 "
        "--data.val-count 8 --loop.val-count 8 --loop.batch-size 8 --loop.steps 2 --loop.accelerator cpu"
    )
    check_tokens(folder, "core", folder / "pictures")


def shards(folder: Path) -> list[Path]:
    """The images in two tar files."""
    folder.mkdir()
    files = pictures()
    for shard in range(2):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number in range(shard * COUNT // 2, (shard + 1) * COUNT // 2):
                info = tarfile.TarInfo(f"{number:03d}.png")
                info.size = len(files[number])
                tar.addfile(info, io.BytesIO(files[number]))
    return sorted(folder.iterdir())


def webdataset(folder: Path) -> None:
    """Tar shards, by index and as a stream."""
    (folder / "val.tar").write_bytes(shards(folder / "shards")[1].read_bytes())
    source, val = f"{folder}/shards/{{0..1}}.tar", f"--data.val-source {folder}/val.tar"
    check_tokens(folder, "by_index", source, val)
    check_tokens(folder, "as_stream", source, f"{val} --data.stream")


def datasets(folder: Path) -> None:
    """A folder as ``datasets.Dataset.save_to_disk`` leaves it."""
    saved = folder / "saved"
    saved.mkdir()
    info = {"info": {"features": {"image": {"_type": "Image"}}}}
    table = pa.table({"image": [{"bytes": data, "path": None} for data in pictures()]})
    table = table.replace_schema_metadata({b"huggingface": json.dumps(info).encode()})
    with pa.OSFile(str(saved / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    (saved / "dataset_info.json").write_text("{}")
    check_tokens(folder, "saved_store", saved)


def ray(folder: Path) -> None:
    """The store of a cluster of this machine is that of the local engine, keys and all."""
    check_tokens(folder, "ray_store", folder / "pictures", "--engine ray --actors 1")
    one, other = (TokenStore.open(folder / name).load("train") for name in ("core", "ray_store"))
    assert (one.keys, one.labels.tolist()) == (other.keys, other.labels.tolist())


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as reading takes."""

    protocol_version = "HTTP/1.1"

    def __init__(self, files: dict[str, bytes], *arguments: object) -> None:
        self.files = files
        super().__init__(*arguments)

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """An object's size."""
        self.do_GET()

    def do_GET(self) -> None:
        """An object, or a range of its bytes."""
        data = self.files.get(self.path.partition("?")[0])
        if data is None:
            self.send_response(404)
            data = b"<Error><Code>NoSuchKey</Code></Error>"
        elif asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            data = data[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


def remote(folder: Path) -> None:
    """Tar shards in a bucket, behind a server of this process."""
    import gcsfs  # noqa: F401

    files = {f"/bucket/{path.name}": path.read_bytes() for path in shards(folder / "bucket")}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Bucket, files))
    Thread(target=server.serve_forever, daemon=True).start()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }
    check_tokens(folder, "remote_store", "s3://bucket/{0..1}.tar")
    server.shutdown()


if __name__ == "__main__":
    extra, work = sys.argv[1], Path(sys.argv[2])
    checks = {"core": core, "webdataset": webdataset, "datasets": datasets, "ray": ray, "remote": remote}
    assert extra == "core" or extra in metadata("gridcode").get_all("Provides-Extra"), extra
    checks[extra](work)
    print(f"extras: {extra} runs, gridcode {version('gridcode')} of {Path(gridcode.__file__).parent}")
