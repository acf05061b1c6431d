"""Shards that are read from front to back: each image once an epoch, the same for all workers, resumed to the bit."""

import functools
import http.server
import json
import threading
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gridcode.data import DataConfig, eval_batches, open_split, train_batches
from gridcode.data.open import open_images, open_input, understood
from gridcode.data.shards import remote as remote_files
from gridcode.data.shards.images import TarImages
from gridcode.data.shards.lanes import lane_count, useful_lane_workers
from gridcode.data.shards.position import StreamPosition
from gridcode.data.shards.stream import ImageStream
from gridcode.errors import GridcodeError
from tests.data.test_shards import packed, picture, shards

CONFIG = DataConfig(size=4, workers=0, stream=True, shuffle_buffer=8)


def config(source, **settings):
    return replace(CONFIG, source=str(source), **settings)


def stream(folder, count=4, each=6, **settings):
    truth = shards(folder, count, each)
    (folder / "classnames.txt").write_text("cat\ndog\nowl\n")
    return open_images(config(folder, val_source=str(folder / "000.tar"), **settings), "train"), truth


def taken(source, steps, *, settings=CONFIG, start=0, seed=1, rank=0, world=1, batch=4):
    batches = train_batches(source, settings, batch_size=batch, seed=seed, start_step=start, rank=rank, world=world)
    return list(islice(batches, steps))


def same(one, two):
    return len(one) == len(two) and all(
        a.keys == b.keys and a.images.equal(b.images) and a.labels.equal(b.labels)
        for a, b in zip(one, two, strict=True)
    )


def test_every_image_comes_once_an_epoch_with_its_class(tmp_path):
    source, truth = stream(tmp_path)
    batches = taken(source, 12)
    for epoch in (batches[:6], batches[6:]):
        assert Counter(key for batch in epoch for key in batch.keys) == Counter(list(truth))
    labels = {key: int(label) for batch in batches for key, label in zip(batch.keys, batch.labels, strict=True)}
    assert labels == truth
    first, second = ([key for batch in epoch for key in batch.keys] for epoch in (batches[:6], batches[6:]))
    assert first != second != sorted(second)
    assert len({key.split(":")[0] for key in batches[0].keys}) == 4, "a batch takes from every lane"


def test_the_stream_does_not_depend_on_workers_and_processes(tmp_path):
    source, _ = stream(tmp_path)
    alone = taken(source, 5)
    assert same(taken(source, 5, settings=replace(CONFIG, workers=2)), alone)
    ranks = [taken(source, 5, rank=rank, world=2) for rank in (0, 1)]
    for whole, one, two in zip(alone, *ranks, strict=True):
        assert torch.cat([one.images, two.images]).equal(whole.images)


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_checkpoint_of_one_process_is_resumed_by_any_number_of_workers_and_processes(tmp_path, workers, world):
    source, _ = stream(tmp_path)
    expected = taken(source, 9)[5:]
    before = replace(source, position=StreamPosition())
    taken(before, 5)
    state = json.dumps(before.position.state_dict())
    parts = []
    for rank in range(world):
        again = replace(source, position=StreamPosition())
        again.position.load_state_dict(json.loads(state))
        settings = replace(CONFIG, workers=workers)
        parts.append(taken(again, 4, settings=settings, start=5, rank=rank, world=world))
    for whole, *shares in zip(expected, *parts, strict=True):
        assert torch.cat([share.images for share in shares]).equal(whole.images)
        assert sum((share.keys for share in shares), ()) == whole.keys


@pytest.mark.parametrize("shard_sizes", [(6, 6, 6), (1, 9, 4), (7,)])
@pytest.mark.parametrize("buffer", [1, 5, 100])
def test_a_stream_goes_on_from_its_position_at_any_step(tmp_path, shard_sizes, buffer):
    for number, size in enumerate(shard_sizes):
        members = [(f"{number}-{row}.png", picture(10 * number + row)) for row in range(size)]
        (tmp_path / f"{number}.tar").write_bytes(packed(members))
    settings = replace(CONFIG, shuffle_buffer=buffer)
    names = tuple(str(path) for path in sorted(tmp_path.glob("*.tar")))
    source = ImageStream(names, "three")
    straight, states = [], []
    for batch in islice(train_batches(source, settings, batch_size=6, seed=2), 9):
        straight.append(batch)
        states.append(json.dumps(source.position.state_dict()))
    for step in (1, 2, 5, 8):
        again = ImageStream(names, "three")
        again.position.load_state_dict(json.loads(states[step - 1]))
        assert same(taken(again, 9 - step, settings=settings, start=step, seed=2, batch=6), straight[step:])
    with pytest.raises(GridcodeError, match="cannot be entered at step 3: the checkpoint does not say where that is"):
        taken(ImageStream(names, "three"), 1, settings=settings, start=3)


def test_every_checkpoint_has_the_lanes_of_all_processes(tmp_path):
    source, _ = stream(tmp_path)
    parts = [replace(source, position=StreamPosition()) for _ in range(2)]
    ranks = [train_batches(part, CONFIG, batch_size=4, seed=1, rank=rank, world=2) for rank, part in enumerate(parts)]
    alone = train_batches(source, CONFIG, batch_size=4, seed=1)

    class Both:
        world_size, device = 2, "cpu"

        def all_reduce(self, table, reduce_op):
            assert reduce_op == "sum"
            for lane in parts[1].position.mine:
                assert not table[lane].any()
                table[lane] = torch.tensor(parts[1].position.lanes[lane])
            return table

    for _ in range(3):
        for batches in (*ranks, alone):
            next(batches)
        parts[0].position.gather(Both())
        assert parts[0].position.state_dict() == source.position.state_dict()


def test_lanes():
    assert [lane_count(100, 256), lane_count(10, 128), lane_count(3, 64), lane_count(5, 7)] == [16, 8, 2, 1]
    assert [useful_lane_workers(8, workers) for workers in (0, 1, 3, 20)] == [0, 1, 2, 8]
    with pytest.raises(GridcodeError, match="3 shards make 3 lanes in batches of 12, which 2 processes cannot share"):
        lane_count(3, 12, world=2)


def test_validation_reads_in_order_and_a_part_of_it_from_all_shards(tmp_path):
    source, truth = stream(tmp_path)
    batches = list(eval_batches(source, CONFIG, batch_size=5))
    assert [key for batch in batches for key in batch.keys] == list(truth)
    assert [len(batch.keys) for batch in batches] == [5, 5, 5, 5, 4]
    assert same(list(eval_batches(source, replace(CONFIG, workers=2), batch_size=5)), batches)
    (few,) = eval_batches(source.first(5), CONFIG, batch_size=8)
    assert len(few.keys) == 5
    assert len({key.split(":")[0] for key in few.keys}) == 4


def test_shards_of_one_name_have_keys_of_their_own_like_those_of_the_index(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b\\"):
        shards(tmp_path / folder, 1, 2, labels=None)
    paths = [Path("a/000.tar"), Path("b\\/000.tar")]
    found = [item.key for item in ImageStream(tuple(map(str, paths)), "two")]
    assert found == [example.key for example in TarImages(paths)]
    assert found == ["a/000.tar:0000", "a/000.tar:0001", "b\\\\/000.tar:0000", "b\\\\/000.tar:0001"]
    whole = ImageStream(("s3://x/a/0.tar", "s3://x/b/0.tar"), "two")
    assert [whole._name_of(shard) for shard in whole.shards] == ["a/0.tar", "b/0.tar"]


def told(settings):
    return understood(open_images(settings, "train"), open_images(settings, "val"))


def test_shards_are_held_out_and_the_count_is_said_to_be_unknown(tmp_path):
    shards(tmp_path)
    assert told(config(tmp_path)) == [
        f"train: 2 shards of {tmp_path} (train), count of images unknown",
        f"val: 1 shard of {tmp_path} (held out), count of images unknown",
        "classes: none",
        "labels: none, for a stream tells classes only by a classnames.txt beside its shards",
    ]
    train, val = (open_images(config(tmp_path), split) for split in ("train", "val"))
    assert sorted(train.shards + val.shards) == sorted(str(path) for path in tmp_path.glob("*.tar"))
    with pytest.raises(GridcodeError, match=r"one shard cannot be split; write more, or set data\.val_source"):
        told(config(tmp_path / "000.tar"))
    with pytest.raises(GridcodeError, match=r"000\.tar is both for training and for validation"):
        told(config(tmp_path / "*.tar", val_source=str(tmp_path / "000.tar")))
    (tmp_path / "link.tar").symlink_to(tmp_path / "000.tar")
    with pytest.raises(GridcodeError, match=r"link\.tar is both for training and for validation"):
        told(config(tmp_path / "00*.tar", val_source=str(tmp_path / "link.tar")))
    (tmp_path / "link.tar").unlink()
    local = told(config(tmp_path / "00[01].tar", stream=False, val_source=str(tmp_path / "002.tar")))
    assert local[0].startswith("train: 8 images")


@pytest.fixture
def memory(tmp_path):
    """The shards of a folder under memory://."""
    source, truth = stream(tmp_path)
    system = fsspec.filesystem("memory")
    for path in tmp_path.iterdir():
        system.pipe(f"/bucket/{path.name}", path.read_bytes())
    yield source, truth
    system.rm("/bucket", recursive=True)


def test_what_lies_behind_a_url_is_the_same_stream(memory):
    source, _ = memory
    settings = config("memory://bucket/{000..003}.tar", stream=False, val_source="memory://bucket/*.tar")
    remote = replace(open_images(replace(settings, val_source="memory://x/0.tar"), "train"))
    assert remote.classes == ("cat", "dog", "owl")
    assert same(taken(remote, 7), taken(source, 7))
    with pytest.raises(GridcodeError, match="both for training and for validation"):
        open_images(settings, "val")
    for opened in (open_input, lambda settings: open_split(settings, "train")):
        with pytest.raises(GridcodeError, match="every image is looked up by its number; fetch it first"):
            opened(settings)


def test_a_connection_that_breaks_is_made_again(memory, monkeypatch, caplog):
    source, _ = memory
    monkeypatch.setattr(remote_files, "WAITS", [0.0, 0.0])
    left, whole = [2], remote_files._Forward.read

    def read(file, size):
        if file._place > 3000 and left[0]:
            left[0] -= 1
            raise ConnectionResetError("reset by peer")
        return whole(file, size)

    monkeypatch.setattr(remote_files._Forward, "read", read)
    settings = config("memory://bucket/{000..003}.tar", val_source="memory://x/0.tar")
    assert same(taken(open_images(settings, "train"), 7), taken(source, 7))
    assert left == [0]
    assert caplog.text.count("reset by peer); check the address and the connection; trying again in 0 s") == 2
    left[0] = 10**6
    with pytest.raises(GridcodeError, match=r"\.tar: cannot be read \(reset by peer\)"):
        taken(open_images(settings, "train"), 7)


def test_parquet_behind_a_url(tmp_path):
    rows = {"image": [{"bytes": picture(number), "path": None} for number in range(6)], "label": [0, 1, 1, 0, 1, 0]}
    info = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}}}
    table = pa.table(rows).replace_schema_metadata({b"huggingface": json.dumps(info).encode()})
    system = fsspec.filesystem("memory")
    for name in ("train-0", "train-1", "val-0"):
        with system.open(f"/rows/{name}.parquet", "wb") as file:
            pq.write_table(table, file, row_group_size=2)
    settings = config("memory://rows/*.parquet")
    lines = told(settings)
    assert lines[0] == "train: 2 shards of memory://rows/*.parquet, count of images unknown"
    assert lines[2] == "classes: 2 (cat, dog)"
    keys = Counter(key for batch in taken(open_images(settings, "train"), 3) for key in batch.keys)
    assert keys == Counter(f"train-{shard}.parquet:{row}" for shard in (0, 1) for row in range(6))
    (batch,) = eval_batches(open_images(settings, "val"), CONFIG, batch_size=8)
    assert batch.labels.tolist() == [0, 1, 1, 0, 1, 0]
    system.rm("/rows", recursive=True)


def test_a_row_of_a_stream_that_cannot_be_used_is_left_out(tmp_path):
    rows = {"image": [{"bytes": picture(number), "path": None} for number in range(3)], "label": [0, 7, 1]}
    pq.write_table(pa.table(rows), tmp_path / "0.parquet")
    source = ImageStream((str(tmp_path / "0.parquet"),), "rows", ("cat", "dog"))
    with pytest.raises(GridcodeError, match=r"0\.parquet, row 1: label 7, but there are 2 class names"):
        list(eval_batches(source, CONFIG, batch_size=4))
    (batch,) = eval_batches(replace(source, on_error="skip"), replace(CONFIG, on_error="skip"), batch_size=4)
    assert (batch.labels.tolist(), len(batch.skipped)) == ([0, 1], 1)


class Quiet(http.server.SimpleHTTPRequestHandler):
    absent = 404

    def log_message(self, *arguments):
        pass

    def send_error(self, code, *arguments):
        super().send_error(self.absent if code == http.HTTPStatus.NOT_FOUND else code, *arguments)


@pytest.fixture
def server(tmp_path):
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_server_without_ranges_is_read_and_its_faults_are_one_line(tmp_path, server, monkeypatch):
    source, _ = stream(tmp_path)
    settings = config(f"{server}/{{000..003}}.tar", val_source=f"{server}/000.tar")
    remote = open_images(settings, "train")
    assert remote.classes == ("cat", "dog", "owl")
    assert same(taken(remote, 7), taken(source, 7))
    assert same(taken(remote, 3, settings=replace(CONFIG, workers=2)), taken(source, 3))
    (tmp_path / "classnames.txt").unlink()
    monkeypatch.setattr(Quiet, "absent", 403)
    assert open_images(settings, "train").classes == ()
    monkeypatch.undo()
    missing = replace(remote, shards=(*remote.shards[:3], f"{server}/gone.tar"))
    with pytest.raises(GridcodeError, match=r"/gone\.tar: there is no such file; check data\.source"):
        taken(missing, 1)


def test_a_server_that_is_away_is_one_line():
    with pytest.raises(
        GridcodeError, match=r"^http://127\.0\.0\.1:9/.*: cannot be read \(.*\); check the address"
    ) as error:
        open_images(config("http://127.0.0.1:9/{0..3}.tar"), "train")
    assert "\n" not in str(error.value)
    for url, message in (
        ("nonsense://a/{0..1}.tar", "cannot be read .*nonsense"),
        ("memory://nothing/*.tar", "no file has such a name"),
        ("memory://a/{0..1}.zip", "a stream reads .tar and .parquet files"),
    ):
        with pytest.raises(GridcodeError, match=message):
            open_images(config(url), "train")


def test_what_cannot_be_read_stops_or_is_left_out(tmp_path):
    source, _ = stream(tmp_path)
    members = [("0.png", picture(0)), ("0.cls", b"0"), ("1.png", b"broken"), ("1.cls", b"0"), ("2.cls", b"0")]
    (tmp_path / "001.tar").write_bytes(packed(members))
    cut = tmp_path / "002.tar"
    cut.write_bytes(cut.read_bytes()[:2600])
    with pytest.raises(GridcodeError, match=r"001\.tar, key 1: not an image in a known format"):
        list(eval_batches(replace(source, shards=source.shards[1:2]), CONFIG, batch_size=2))
    with pytest.raises(GridcodeError, match=r"002\.tar: cut short, .*set data\.on_error=skip"):
        list(eval_batches(replace(source, shards=source.shards[2:]), CONFIG, batch_size=2))
    lenient = replace(source, on_error="skip")
    settings = replace(CONFIG, on_error="skip")
    batches = list(eval_batches(lenient, settings, batch_size=4))
    keys = [key for batch in batches for key in batch.keys]
    assert [key.split(":")[0] for key in keys] == ["000.tar"] * 6 + ["001.tar"] + ["002.tar"] + ["003.tar"] * 6
    assert len([message for batch in batches for message in batch.skipped]) == 3
    gone = replace(lenient, shards=(str(tmp_path / "damaged" / "gone.tar"),))
    with pytest.raises(GridcodeError, match=r"^[^:]*damaged/gone\.tar: there is no such file"):
        list(eval_batches(gone, settings, batch_size=4))
    trained = taken(lenient, 7, settings=settings, batch=2)
    assert {len(batch.keys) for batch in trained} == {2}
    empty = tmp_path / "empty.tar"
    empty.write_bytes(packed([]))
    with pytest.raises(GridcodeError, match="no images in the shards of a lane"):
        taken(ImageStream((str(empty),), "empty"), 1)
