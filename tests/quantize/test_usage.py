from __future__ import annotations

import dataclasses
import math
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.quantize import FSQ, Usage, UsageMeter
from gridcode.quantize import usage as usage_module

LARGE = [8] * 20


def by_hand(levels: list[int], indices: list[int]) -> Usage:
    """The same figures from Python's own counting."""
    size = math.prod(levels)
    values, counts = np.unique(np.asarray(indices, dtype=object), return_counts=True)
    shares = counts / max(len(indices), 1)
    entropy = float(-(shares * np.log2(shares)).sum()) if indices else 0.0
    digits, stride = [], 1
    for level in levels:
        digits.append(len({int(value) // stride % level for value in values}) / level)
        stride *= level
    return Usage(
        codebook_size=size,
        count=len(indices),
        used=len(values),
        usage=len(values) / size,
        usage_of_ceiling=len(values) / min(size, len(indices)) if indices else 0.0,
        perplexity=2**entropy if indices else 0.0,
        entropy_bits=entropy,
        digit_usage=tuple(digits),
    )


def close(a: Usage, b: Usage) -> bool:
    floats = ("usage", "usage_of_ceiling", "perplexity", "entropy_bits")
    counted, expected = dataclasses.asdict(a), dataclasses.asdict(b)
    near = [math.isclose(counted.pop(name), expected.pop(name), rel_tol=1e-9, abs_tol=1e-12) for name in floats]
    return counted == expected and all(near)


@settings(max_examples=60, deadline=None)
@given(
    levels=st.sampled_from([[8, 5], [2], [3, 3, 3], LARGE, [8] * 21]),
    data=st.data(),
)
def test_any_batching_gives_the_figures_of_all_tokens(levels: list[int], data: st.DataObject) -> None:
    some = st.integers(0, min(math.prod(levels), 2**63) - 1)
    batches = data.draw(st.lists(st.lists(some, max_size=12), max_size=5))
    meter, other = UsageMeter(levels), UsageMeter(levels)
    for number, batch in enumerate(batches):
        (meter if number % 2 else other).update(torch.tensor(batch, dtype=torch.int64))
    meter.merge(other)
    assert close(meter.compute(), by_hand(levels, [index for batch in batches for index in batch]))


def test_nothing_seen_is_all_zeros() -> None:
    assert UsageMeter([8, 5]).compute() == Usage(40, 0, 0, 0.0, 0.0, 0.0, 0.0, (0.0, 0.0))
    meter = UsageMeter(LARGE)
    meter.update(torch.zeros(0, 4, dtype=torch.int64))
    assert meter.compute().count == 0


def test_one_code_only_has_perplexity_one() -> None:
    meter = UsageMeter([8, 5])
    meter.update(torch.full((3, 4, 4), 7))
    result = meter.compute()
    assert (result.used, result.perplexity, result.entropy_bits) == (1, 1.0, 0.0)
    assert math.copysign(1, result.entropy_bits) == 1


def test_every_code_once_has_perplexity_k() -> None:
    meter = UsageMeter([8, 5, 5, 5])
    meter.update(torch.arange(1000, dtype=torch.int32).view(10, 100))
    result = meter.compute()
    assert result.usage == result.usage_of_ceiling == 1.0
    assert result.perplexity == pytest.approx(1000)
    assert result.entropy_bits == pytest.approx(math.log2(1000))
    assert result.digit_usage == (1.0, 1.0, 1.0, 1.0)


def test_few_tokens_are_measured_against_what_they_can_use() -> None:
    meter = UsageMeter([8, 8, 8, 5, 5, 5])
    meter.update(torch.arange(640))
    assert meter.compute().usage == pytest.approx(0.01)
    assert meter.compute().usage_of_ceiling == 1.0


def test_sparse_counts_stay_exact_when_they_are_sorted_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_module, "_SORT_FROM", 8)
    meter, indices = UsageMeter(LARGE), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        batch = torch.randint(0, 50, (7,), generator=generator) * 2**54
        indices += batch.tolist()
        meter.update(batch)
    assert close(meter.compute(), by_hand(LARGE, indices))


def test_a_quantizers_indices() -> None:
    quantizer = FSQ([8, 6, 5], channel_dim=1)
    meter = UsageMeter(quantizer.levels)
    meter.update(quantizer(torch.randn(16, 3, 32, 32) * 2).indices)
    assert meter.compute().usage == 1.0


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (torch.tensor([40]), "saw index 40"),
        (torch.tensor([-1]), "saw index -1"),
        (torch.tensor([1.0]), "indices are torch.float32"),
        (torch.tensor([True]), "indices are torch.bool"),
    ],
)
def test_what_is_no_index_is_refused_and_not_counted(indices: torch.Tensor, message: str) -> None:
    meter = UsageMeter([8, 5])
    with pytest.raises(GridcodeError, match=message):
        meter.update(indices)
    assert meter.compute().count == 0


def test_meters_of_other_levels_do_not_merge() -> None:
    with pytest.raises(GridcodeError, match=r"over levels \[5, 8\] into one over \[8, 5\]"):
        UsageMeter([8, 5]).merge(UsageMeter([5, 8]))


def test_gathering_alone_is_a_copy() -> None:
    meter = UsageMeter([8, 5])
    meter.update(torch.tensor([1, 2]))
    copy = meter.gathered()
    copy.update(torch.tensor([3]))
    assert (meter.compute().count, copy.compute().count) == (2, 3)


def _count_in_process(rank: int, store: str, results: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    meter = UsageMeter(LARGE)
    meter.update(torch.arange(3) + rank)
    first, second = meter.gathered().compute(), meter.gathered().compute()
    assert first == second
    Path(results, str(rank)).write_text(f"{first.count} {first.used} {meter.compute().count}")
    torch.distributed.destroy_process_group()


def test_gathering_over_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    arguments = [(rank, str(tmp_path / "store"), str(tmp_path)) for rank in range(2)]
    processes = [context.Process(target=_count_in_process, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["6 4 3", "6 4 3"]
