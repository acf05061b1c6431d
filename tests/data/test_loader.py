"""The stream of batches: same with any number of workers, resumable at any step, honest about bad images."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.data import (
    CropPolicy,
    DataConfig,
    Example,
    ImageSource,
    eval_batches,
    open_split,
    train_batches,
)
from gridcode.data.source import fixed_subset
from gridcode.errors import GridcodeError

CONFIG = DataConfig(size=8, workers=0)


class Numbers(ImageSource):
    """Image i is full of the number i, but for its shape; the images of `broken` cannot be read."""

    name = "numbers"
    classes = ("even", "odd")

    def __init__(self, count, *, broken=(), channels=3, shape=(10, 12)):
        self.count, self.broken, self.channels, self.shape = count, frozenset(broken), channels, shape

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.broken:
            raise GridcodeError(f"numbers, row {index}: damaged")
        noise = np.random.default_rng(index).integers(0, 256, (*self.shape, self.channels), dtype=np.uint8)
        return Example(image=noise, label=index % 2 if index else None, key=f"k{index}")


def take(source, steps, *, config=CONFIG, **settings):
    batches = train_batches(source, config, **{"batch_size": 4, "seed": 0, **settings})
    try:
        return list(islice(batches, steps))
    finally:
        batches.close()


def same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys == b.keys
        assert a.skipped == b.skipped
        assert torch.equal(a.labels, b.labels)
        assert torch.equal(a.images, b.images)
    return True


def numbers(batches):
    return [int(key[1:]) for batch in batches for key in batch.keys]


def test_batch_fields():
    (batch,) = take(Numbers(9), 1)
    assert batch.images.dtype == torch.float32
    assert batch.images.shape == (4, 3, 8, 8)
    assert batch.images.is_contiguous()
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [n % 2 if n else -1 for n in numbers([batch])]
    assert batch.skipped == ()


def test_pixel_range_is_exact():
    class Ends(Numbers):
        def __getitem__(self, index):
            image = np.zeros((8, 8, 1), np.uint8)
            image[:4] = 255
            return Example(image=image, label=None, key=f"k{index}")

    (batch,) = take(Ends(4), 1)
    assert batch.images.unique().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [1, 3])
def test_channels_are_converted(channels, stored):
    (batch,) = take(Numbers(9, channels=stored), 1, config=replace(CONFIG, channels=channels))
    assert batch.images.shape == (4, channels, 8, 8)
    if stored == 1:
        assert torch.equal(batch.images[:, :1].expand(-1, channels, -1, -1), batch.images)


@settings(deadline=None)
@given(count=st.integers(1, 13), batch_size=st.integers(1, 9), seed=st.integers(0, 3))
def test_every_epoch_holds_every_image_once(count, batch_size, seed):
    seen = numbers(take(Numbers(count, shape=(8, 8)), -(-3 * count // batch_size), batch_size=batch_size, seed=seed))
    for epoch in range(3):
        assert sorted(seen[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_epochs_and_seeds_differ():
    seen = numbers(take(Numbers(40), 20))
    assert seen[:40] != seen[40:]
    assert seen != numbers(take(Numbers(40), 20, seed=1))


def test_crops_differ_between_epochs_and_depend_on_position_alone():
    first, second = take(Numbers(1), 2, batch_size=1)
    assert not torch.equal(first.images, second.images)
    assert same(take(Numbers(1), 2, batch_size=1), [first, second])


@settings(deadline=None, max_examples=40)
@given(start=st.integers(0, 30), count=st.integers(1, 11), batch_size=st.integers(1, 6))
def test_resumed_stream_is_the_rest_of_the_stream(start, count, batch_size):
    source = Numbers(count)
    whole = take(source, start + 3, batch_size=batch_size)
    assert same(take(source, 3, batch_size=batch_size, start_step=start), whole[start:])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_stream(workers):
    source = Numbers(11, broken=(3,))
    config = replace(CONFIG, on_error="skip")
    expected = take(source, 9, config=config)
    assert same(take(source, 9, config=replace(config, workers=workers)), expected)
    assert same(take(source, 4, config=replace(config, workers=workers), start_step=5), expected[5:])
    whole = list(eval_batches(source, config, batch_size=4))
    assert same(list(eval_batches(source, replace(config, workers=workers), batch_size=4)), whole)


def test_a_huge_start_step_costs_nothing():
    (batch,) = take(Numbers(7), 1, start_step=10**9)
    assert len(batch.keys) == 4


def test_ranks_share_the_batch_in_order():
    source = Numbers(10)
    whole = take(source, 5, batch_size=6)
    parts = [take(source, 5, batch_size=6, rank=rank, world=3) for rank in range(3)]
    for step, batch in enumerate(whole):
        assert torch.equal(torch.cat([part[step].images for part in parts]), batch.images)
        assert sum((part[step].keys for part in parts), ()) == batch.keys


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()
    take(Numbers(8), 2, config=replace(CONFIG, workers=1))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)


def test_workers_end_with_the_iterator():
    before = children()
    batches = train_batches(Numbers(8), replace(CONFIG, workers=2), batch_size=4, seed=0)
    next(batches)
    started = children() - before
    assert started
    batches.close()
    del batches
    assert not children() & started


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="workers cannot see who sent a signal")
def test_a_signal_to_the_whole_job_is_left_to_the_parent():
    before = children()
    batches = train_batches(Numbers(11), replace(CONFIG, workers=2), batch_size=4, seed=0)
    seen = list(islice(batches, 2))
    workers = children() - before
    assert len(workers) == min(2, len(os.sched_getaffinity(0)))
    for name in ("TERM", "INT"):
        # From another process, as `timeout` and a terminal do; the parent's own SIGTERM ends a worker.
        subprocess.run(["kill", f"-{name}", *map(str, workers)], check=True)
    seen += list(islice(batches, 8))
    assert same(seen, take(Numbers(11), 10))
    assert children() - before == workers
    batches.close()
    assert children() == before


def test_evaluation_in_the_midst_of_training_disturbs_nothing():
    config = replace(CONFIG, workers=2)
    expected = take(Numbers(11), 12)
    batches = train_batches(Numbers(11), config, batch_size=4, seed=0)
    seen = []
    for _ in range(3):
        seen += list(islice(batches, 4))
        assert numbers(eval_batches(Numbers(7), config, batch_size=2)) == list(range(7))
    batches.close()
    assert same(seen, expected)


def children():
    return {
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if stat(path)[1:2] == [str(os.getpid())] and stat(path)[0] != "Z"
    }


def stat(path):
    try:
        return path.read_text().rpartition(")")[2].split()
    except OSError:
        return []


@pytest.mark.parametrize("source", ["Numbers", "Buggy", "Deadly"])
def test_workers_end_with_an_error_even_while_it_is_held(source):
    before = children()
    batches = train_batches(SOURCES[source](8, broken=[5]), replace(CONFIG, workers=2), batch_size=4, seed=0)
    with pytest.raises((GridcodeError, ZeroDivisionError)) as held:
        list(islice(batches, 3))
    assert held.traceback
    assert children() == before


def test_sources_in_memory_need_no_workers(tmp_path):
    config = DataConfig(size=8, train_count=6, val_count=2, workers=2)
    before = children()
    batches = train_batches(open_split(config, "train"), config, batch_size=4, seed=0)
    next(batches)
    assert children() == before


def test_eval_is_one_pass_in_order():
    batches = list(eval_batches(Numbers(10), CONFIG, batch_size=4))
    assert [len(batch.keys) for batch in batches] == [4, 4, 2]
    assert numbers(batches) == list(range(10))
    middle = torch.from_numpy(Numbers(10, shape=(8, 8))[5].image).permute(2, 0, 1) / 127.5 - 1
    square = next(eval_batches(Numbers(10, shape=(8, 8)), CONFIG, batch_size=10)).images[5]
    assert torch.equal(square, middle)


def test_few_images_come_from_all_over_without_a_pattern():
    chosen = numbers(eval_batches(fixed_subset(Numbers(200), 40), CONFIG, batch_size=7))
    assert chosen == sorted(set(chosen)) == numbers(eval_batches(fixed_subset(Numbers(200), 40), CONFIG, batch_size=40))
    assert len(chosen) == 40
    assert {number % 10 for number in chosen} == set(range(10))  # classes that take turns are all there
    assert {number // 20 for number in chosen} == set(range(10))  # and so are classes in blocks
    assert numbers(eval_batches(fixed_subset(Numbers(3), 6), CONFIG, batch_size=4)) == list(range(3))
    with pytest.raises(GridcodeError, match="at least 1"):
        fixed_subset(Numbers(3), 0)


def test_eval_does_not_depend_on_the_training_crop():
    other = replace(CONFIG, crop=CropPolicy(train="center", flip=False), seed=5)
    assert same(
        list(eval_batches(Numbers(5), other, batch_size=2)),
        list(eval_batches(Numbers(5), CONFIG, batch_size=2)),
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_stop_names_the_image_in_one_line(workers):
    config = replace(CONFIG, workers=workers)
    for batches in (
        train_batches(Numbers(9, broken=[5]), config, batch_size=3, seed=0),
        eval_batches(Numbers(9, broken=[5]), config, batch_size=3),
    ):
        with pytest.raises(GridcodeError, match=r"^numbers, row 5: damaged$"):
            list(islice(batches, 3))


def test_training_replaces_a_bad_image_by_the_next():
    config = replace(CONFIG, on_error="skip")
    good = take(Numbers(9), 9, batch_size=3)
    batches = take(Numbers(9, broken=[5, 6]), 9, config=config, batch_size=3)
    assert numbers(batches) == [7 if number in (5, 6) else number for number in numbers(good)]
    messages = [message for batch in batches for message in batch.skipped]
    assert messages.count("numbers, row 5: damaged") == 3
    assert messages.count("numbers, row 6: damaged") == 6
    for batch, other in zip(batches, good, strict=True):
        assert bool(batch.skipped) == bool({"k5", "k6"} & set(other.keys))


def test_evaluation_leaves_a_bad_image_out():
    config = replace(CONFIG, on_error="skip")
    batches = list(eval_batches(Numbers(10, broken=[0, 1, 5, 8, 9]), config, batch_size=2))
    assert numbers(batches) == [2, 3, 4, 6, 7]
    assert [len(batch.skipped) for batch in batches] == [2, 1, 2]
    assert [tuple(batch.images.shape[:1]) for batch in batches] == [(2,), (1,), (2,)]


def test_nothing_but_bad_images():
    config = replace(CONFIG, on_error="skip")
    source = Numbers(300, broken=range(300))
    with pytest.raises(GridcodeError, match=r"numbers: 100 images in a row cannot be read; the last: numbers, row"):
        take(source, 1, config=config)
    with pytest.raises(GridcodeError, match=r"none of the 300 images can be read; the first: numbers, row 0"):
        list(eval_batches(source, config, batch_size=64))


class Deadly(Numbers):
    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_a_plain_error():
    with pytest.raises(GridcodeError, match=r"a data worker process died .*data\.workers=0"):
        take(Deadly(4), 1, config=replace(CONFIG, workers=1))


class Buggy(Numbers):
    def __getitem__(self, index):
        raise ZeroDivisionError("a mistake of ours")


SOURCES = {"Numbers": Numbers, "Buggy": Buggy, "Deadly": Deadly}


@pytest.mark.parametrize("workers", [0, 1])
def test_other_errors_keep_their_type(workers):
    with pytest.raises(ZeroDivisionError):
        take(Buggy(4), 1, config=replace(CONFIG, workers=workers))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size 0 is not a positive multiple"),
        ({"batch_size": 4, "world": 3}, "batch_size 4 is not a positive multiple of the 3 processes"),
        ({"batch_size": 4, "world": 2, "rank": 2}, r"rank 2 is not in \[0, 2\)"),
        ({"batch_size": 4, "start_step": -1}, "must not be negative"),
    ],
)
def test_settings_are_checked_at_the_call(settings, message):
    with pytest.raises(GridcodeError, match=message):
        train_batches(Numbers(4), CONFIG, seed=0, **settings)


def test_empty_source_and_eval_settings():
    with pytest.raises(GridcodeError, match="numbers: no images"):
        train_batches(Numbers(0), CONFIG, batch_size=1, seed=0)
    with pytest.raises(GridcodeError, match="numbers: no images"):
        eval_batches(Numbers(0), CONFIG, batch_size=1)
    with pytest.raises(GridcodeError, match="must be at least 1"):
        eval_batches(Numbers(4), CONFIG, batch_size=0)


PROGRAM = """
import sys, time
from pathlib import Path
import numpy as np
from gridcode.data import DataConfig, TorchDataset, train_batches

class Grey:
    def __len__(self): return 50
    def __getitem__(self, index): return np.full((8, 8), index, np.uint8)

if __name__ == "__main__":
    batches = train_batches(TorchDataset(Grey(), name="grey"), DataConfig(size=8), batch_size=4, seed=0)
    next(batches)
    workers = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat")
               if path.read_text().rpartition(")")[2].split()[1] == str(__import__("os").getpid())]
    print(*workers, flush=True)
    time.sleep(float(sys.argv[1]))
"""


def start(seconds):
    arguments = [sys.executable, "-W", "error", "-c", PROGRAM, str(seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_program_that_just_ends_says_nothing():
    with start(0) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors == ""
    assert output.split()


@pytest.mark.slow
def test_workers_of_a_killed_program_end():
    with start(60) as process:
        workers = [int(word) for word in process.stdout.readline().split()]
        process.kill()
        process.communicate(timeout=10)
    deadline = time.monotonic() + 30
    alive = workers
    while alive and time.monotonic() < deadline:
        time.sleep(0.2)
        alive = [worker for worker in workers if stat(Path(f"/proc/{worker}/stat"))[:1] not in ([], ["Z"])]
    assert workers
    assert not alive
