"""Residual FSQ: the loop of stages, the one quantizer it is, its prefixes, and parity with vector-quantize-pytorch."""

from __future__ import annotations

import copy
import math
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from gridcode.errors import GridcodeError
from gridcode.quantize.binary.lfq import LFQ
from gridcode.quantize.fsq.residual import ResidualFSQ

Floats = NDArray[np.float64]
BOOKS = [([8, 5, 5, 5], 1), ([8, 5, 5, 5], 3), ([3, 7], 4), ([2, 2], 10), ([1024], 2), ([2], 20)]


def latents(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def loop(z: Floats, levels: list[int], stages: int) -> tuple[Floats, NDArray[np.int64]]:
    """The published loop in float64: codes, digits (n, q, d)."""
    L = np.array(levels, dtype=np.float64)
    c = 1 + 1 / (L - 1)
    residual = c * np.tanh(z / c)
    codes, digits = np.zeros_like(z), []
    for k in range(stages):
        scaled = (L - 1) * (np.clip(residual * L**k, -1, 1) + 1) / 2
        digit = np.ceil(scaled - 0.5).clip(0, L - 1)  # the lower one on an edge
        code = (2 * digit / (L - 1) - 1) * L**-k
        codes, residual = codes + code, residual - code
        digits.append(digit)
    return codes, np.stack(digits, 1).astype(np.int64)


@pytest.mark.parametrize(("levels", "stages"), BOOKS)
def test_one_rounding_is_the_loop_of_stages(levels: list[int], stages: int) -> None:
    z = 1.5 * latents(20_000, len(levels))
    out = ResidualFSQ(levels, stages=stages)(z)
    codes, digits = loop(z.double().numpy(), levels, stages)
    basis = np.cumprod([1, *levels[:-1]])
    assert np.array_equal(out.indices.numpy(), (digits * basis).sum(-1))
    np.testing.assert_allclose(out.codes.numpy(), codes, rtol=0, atol=1.3e-7)


@pytest.mark.parametrize(("levels", "stages"), BOOKS)
def test_both_neighbours_of_every_edge_fall_on_their_side(levels: list[int], stages: int) -> None:
    for level in set(levels):
        count, c = level**stages, 1 + 1 / (level - 1)
        exact = c * np.arctanh(2 * np.arange(1, count) / count - 1)
        near = exact.astype(np.float32)
        below = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)  # z > below: z > exact
        above = np.nextafter(below, np.float32(np.inf))
        quantizer = ResidualFSQ([level], stages=stages)
        digits = np.arange(count - 1)
        for side, whole in ((below, digits), (above, digits + 1)):
            indices = quantizer(torch.from_numpy(side[:, None])).indices.numpy()
            assert np.array_equal((indices * level ** np.arange(stages)[::-1]).sum(1), whole)


@pytest.mark.parametrize(
    ("levels", "stages", "most"), [([8, 5, 5, 5], 2, 2), ([8, 5, 5, 5], 3, 8), ([5, 3], 4, 4), ([4, 4, 4], 6, 90)]
)
def test_indices_are_those_of_vector_quantize_pytorch_but_near_edges(levels: list[int], stages: int, most: int) -> None:
    peer = pytest.importorskip("vector_quantize_pytorch").ResidualFSQ(levels=levels, num_quantizers=stages)
    z = latents(200_000, len(levels))
    codes, indices = peer(z[None])
    out = ResidualFSQ(levels, stages=stages)(z)
    other = out.indices != indices[0].reshape(out.indices.shape)
    assert int(other.any(1).sum()) <= most
    # Where they differ the peer's float32 residual lay within its rounding of an edge: the codes are a bin apart.
    bins = torch.tensor([2.0 / (level - 1) / level ** (stages - 1) for level in levels])
    assert ((out.codes - codes[0]).abs() <= 1.01 * bins).all()
    edges = (out.codes + codes[0]) / 2
    relaxed = ResidualFSQ(levels, stages=stages).relax(z)
    apart = (out.codes - codes[0]).abs() > 0.5 * bins
    assert ((relaxed - edges)[apart].abs() < 3e-7).all()


@settings(max_examples=60, deadline=None)
@given(
    levels=st.lists(st.integers(2, 40), min_size=1, max_size=5),
    stages=st.integers(1, 3),
    shape=st.lists(st.integers(0, 4), max_size=3),
    data=st.data(),
)
def test_any_rank_and_channel_dimension(levels: list[int], stages: int, shape: list[int], data: st.DataObject) -> None:
    channel_dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
    place = channel_dim % (len(shape) + 1)
    z = 2 * latents(*shape[:place], len(levels), *shape[place:])
    quantizer = ResidualFSQ(levels, stages=stages, channel_dim=channel_dim)
    out = quantizer(z)
    assert out.codes.shape == z.shape
    assert out.indices.shape == (*shape, stages)
    last = ResidualFSQ(levels, stages=stages)(z.movedim(place, -1))
    assert torch.equal(out.indices, last.indices)
    for k in range(1, stages + 1):
        codes = quantizer.indices_to_codes(out.indices[..., :k])
        assert torch.equal(quantizer.codes_to_indices(codes, stages=k), out.indices[..., :k])
    assert torch.equal(quantizer.indices_to_codes(out.indices), out.codes)


@pytest.mark.parametrize(("levels", "stages"), [([2], 8), ([4], 4), ([16], 2), ([6], 3), ([3], 5), ([256], 1)])
def test_the_whole_book_survives_bfloat16(levels: list[int], stages: int) -> None:
    quantizer = ResidualFSQ(levels, stages=stages)
    indices = torch.cartesian_prod(*[torch.arange(levels[0])] * stages).reshape(-1, stages)
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        codes = quantizer.indices_to_codes(indices, dtype=dtype)
        assert codes.dtype == dtype
        assert torch.equal(quantizer.codes_to_indices(codes), indices)


def test_the_largest_book_survives_float32() -> None:
    quantizer = ResidualFSQ([1024], stages=2)
    indices = torch.cartesian_prod(torch.arange(1024), torch.arange(1024))
    codes = quantizer.indices_to_codes(indices)
    assert torch.equal(quantizer.codes_to_indices(codes), indices)
    gaps = codes.double().flatten().diff()
    torch.testing.assert_close(gaps, torch.full_like(gaps, 2 / 1023 / 1024), rtol=0.1, atol=0)


@settings(max_examples=30, deadline=None)
@given(levels=st.lists(st.integers(2, 1024), min_size=1, max_size=4), data=st.data())
def test_codes_and_indices_are_exact_up_to_the_largest_bins(levels: list[int], data: st.DataObject) -> None:
    """Against whole numbers and fractions of Python: float32 holds every number on the way, and rounds once."""
    stages = data.draw(st.integers(1, max(q for q in range(1, 21) if max(levels) ** q <= 2**20)))
    quantizer = ResidualFSQ(levels, stages=stages)
    digits = [[data.draw(st.sampled_from([0, L // 2, L - 1])) for L in levels] for _ in range(stages)]
    indices, wholes = [], [0] * len(levels)
    for row in digits:
        indices.append(sum(g * math.prod(levels[:i]) for i, g in enumerate(row)))
        wholes = [whole * L + g for whole, L, g in zip(wholes, levels, row, strict=True)]
    codes = quantizer.indices_to_codes(torch.tensor(indices))
    exact = [Fraction(2 * N + 1 - L**stages, (L - 1) * L ** (stages - 1)) for N, L in zip(wholes, levels, strict=True)]
    assert codes.tolist() == [float(np.float32(float(code))) for code in exact]
    assert quantizer.codes_to_indices(codes).tolist() == indices
    c = [L / (L - 1) for L in levels]
    middles = [a * math.atanh(float(code) / a) for code, a in zip(exact, c, strict=True)]
    assert quantizer(torch.tensor(middles, dtype=torch.float64)).indices.tolist() == indices


def test_copies_share_the_thresholds_and_quantize_alike() -> None:
    quantizer = ResidualFSQ([8, 5], stages=3)
    z = latents(500, 2)
    for copied in (copy.deepcopy(quantizer).bfloat16(), pickle.loads(pickle.dumps(quantizer)), quantizer.to("cpu")):
        assert torch.equal(copied(z).indices, quantizer(z).indices)


def test_gradient_is_that_of_the_soft_clamp() -> None:
    z = latents(300, 3).double().requires_grad_()
    upstream = latents(300, 3, seed=1).double()
    ResidualFSQ([5, 4, 2], stages=3)(z).codes.backward(upstream)
    c = 1 + 1 / (np.array([5, 4, 2]) - 1)
    expected = upstream.numpy() / np.cosh(z.detach().numpy() / c) ** 2
    assert z.grad is not None
    np.testing.assert_allclose(z.grad.numpy(), expected, rtol=1e-12)


def test_the_peers_gradient_counts_the_stages_that_do_not_clamp() -> None:
    """What the docstring says of vector-quantize-pytorch: its gradient is ours times a number of stages."""
    peer = pytest.importorskip("vector_quantize_pytorch").ResidualFSQ(levels=[5, 4, 2], num_quantizers=3)
    z = latents(1, 2000, 3).requires_grad_()
    peer(z)[0].sum().backward()
    theirs, z.grad = z.grad, None
    ResidualFSQ([5, 4, 2], stages=3)(z).codes.sum().backward()
    assert theirs is not None
    assert z.grad is not None
    times = theirs / z.grad
    torch.testing.assert_close(times, times.round(), rtol=0, atol=1e-3)
    assert sorted(times.round().unique().tolist()) == [0, 1, 2, 3]


def test_dropped_stages_leave_the_coarser_code() -> None:
    torch.manual_seed(0)
    quantizer = ResidualFSQ([5, 4], stages=3, stage_dropout=1.0, channel_dim=1).train()
    z = latents(60, 2, 7)
    out = quantizer(z)
    full = quantizer.eval()(z).indices
    left = (out.indices >= 0).sum(-1)
    assert (left == left[:, :1]).all()  # one number for each sample
    assert set(left[:, 0].tolist()) == {1, 2, 3}
    assert torch.equal(out.indices, full.masked_fill(out.indices == -1, -1))
    for k in (1, 2, 3):
        rows = left[:, 0] == k
        assert torch.equal(out.codes[rows], quantizer.indices_to_codes(full[rows][..., :k]))
    z.requires_grad_()
    quantizer.train()(z).codes.sum().backward()
    dropped, z.grad = z.grad, None
    quantizer.eval()(z).codes.sum().backward()
    assert z.grad is not None
    assert dropped is not None
    assert torch.equal(dropped, z.grad)


def test_a_single_vector_is_one_sample() -> None:
    out = ResidualFSQ([5, 4], stages=3, stage_dropout=1.0).train()(latents(2))
    assert out.indices.shape == (3,)
    assert out.indices[0] >= 0


def test_infinite_latents_give_the_end_codes() -> None:
    z = torch.tensor([[-math.inf, math.inf]], requires_grad=True)
    out = ResidualFSQ([5, 4], stages=2)(z)
    assert out.indices.tolist() == [[15, 15]]
    out.codes.sum().backward()
    assert z.grad is not None
    assert z.grad.eq(0).all()


def test_zero_takes_the_lower_code_of_an_even_level() -> None:
    out = ResidualFSQ([4], stages=2)(torch.zeros(1, 1))
    assert out.indices.tolist() == [[1, 3]]


def test_nan_can_count_as_zero() -> None:
    z = torch.tensor([[math.nan, 1.0], [0.0, 1.0]])
    out = ResidualFSQ([5, 4], nan="zero")(z)
    assert torch.equal(out.codes[0], out.codes[1])


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([[0, 20]], r"saw index 20, but indices of levels \[5, 4\] lie in \[0, 20\)"),
        ([[0, -2]], "saw index -2"),
        ([[-1, -1]], "stands in a first stage"),
        ([[3, -1, 2]], "before a kept one"),
        ([[0, 1, 2, 3]], r"indices of shape \(1, 4\) do not end in 1 to 3 stages"),
        (5, r"indices of shape \(\) do not end in 1 to 3 stages"),
        ([[0.5, 1.0]], "give integers"),
    ],
)
def test_bad_indices_are_refused(indices: object, message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        ResidualFSQ([5, 4], stages=3).indices_to_codes(torch.tensor(indices))


def test_codes_that_are_none_are_refused() -> None:
    quantizer = ResidualFSQ([5, 4], stages=2)
    codes = quantizer.indices_to_codes(torch.tensor([[3, 7], [0, 19]]))
    with pytest.raises(GridcodeError, match=r"1 of 4 code components are not codes of 2 stages of levels \[5, 4\]"):
        quantizer.codes_to_indices(codes + torch.tensor([[0.0, 0.05], [0.0, 0.0]]))
    for bad in (math.nan, math.inf, -1.5):
        with pytest.raises(GridcodeError, match="1 of 4 code components"):
            quantizer.codes_to_indices(codes.index_put((torch.tensor(0), torch.tensor(0)), torch.tensor(bad)))
    coarse = quantizer.indices_to_codes(torch.tensor([[3]]))
    with pytest.raises(GridcodeError, match="the number of their stages"):
        quantizer.codes_to_indices(coarse)
    with pytest.raises(GridcodeError, match="stages is 3; give a whole number from 1 to 2"):
        quantizer.codes_to_indices(codes, stages=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": 0}, "stages is 0; it must be a whole number from 1"),
        ({"stages": True}, "stages is True"),
        ({"stages": 10}, r"10 stages of level 5 tell 5\^10 values apart, more than float32 can"),
        ({"stages": 10**12}, r"tell 5\^1000000000000 values apart"),
        ({"stage_dropout": 1.1}, "stage_dropout is 1.1; it must be in"),
        ({"stage_dropout": math.nan}, "stage_dropout is nan"),
        ({"nan": "skip"}, 'choose "error" or "zero"'),
    ],
)
def test_bad_settings_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        ResidualFSQ([5, 4], **options)  # type: ignore[arg-type]


class TestState:
    def test_other_settings_are_refused_and_both_are_named(self, tmp_path: Path) -> None:
        model = nn.Sequential(ResidualFSQ([5, 4], stages=3))
        safetensors.torch.save_file(model.state_dict(), tmp_path / "m.safetensors")
        saved = safetensors.torch.load_file(tmp_path / "m.safetensors")
        nn.Sequential(ResidualFSQ([5, 4], stages=3, stage_dropout=0.5)).load_state_dict(saved)
        message = r"saved with .*levels \[5, 4\], stages 3, but this quantizer has .*levels \[5, 4\], stages 2"
        with pytest.raises(GridcodeError, match=message):
            nn.Sequential(ResidualFSQ([5, 4], stages=2)).load_state_dict(saved)
        with pytest.raises(GridcodeError, match=r"name 'residual'.* has name 'lfq'"):
            nn.Sequential(LFQ(2)).load_state_dict(saved)

    @pytest.mark.parametrize(
        "record", [None, torch.zeros(3), torch.zeros(3, dtype=torch.uint8), torch.tensor([49], dtype=torch.uint8)]
    )
    def test_a_record_of_something_else_is_refused(self, record: object) -> None:
        with pytest.raises(GridcodeError, match="record of its settings is not readable"):
            ResidualFSQ([5, 4]).load_state_dict({"_extra_state": record})

    def test_copies_casts_and_the_meta_device_keep_the_results(self) -> None:
        z = latents(50, 2)
        quantizer = ResidualFSQ([5, 4], stages=3)
        with torch.device("meta"):
            meta = ResidualFSQ([5, 4], stages=3)
            assert meta(torch.randn(3, 2)).indices.shape == (3, 3)
            state = meta.state_dict()
        quantizer.load_state_dict(state)
        twins = [copy.deepcopy(quantizer), pickle.loads(pickle.dumps(quantizer)), meta.to_empty(device="cpu")]
        for twin in (*twins, ResidualFSQ([5, 4], stages=3).to(torch.bfloat16)):
            assert torch.equal(twin(z).codes, quantizer(z).codes)

    def test_spec_and_print(self) -> None:
        quantizer = ResidualFSQ([5, 4], stages=3)
        assert quantizer.spec() == {"name": "residual", "levels": [5, 4], "stages": 3, "stage_dropout": 0.0}
        assert str(quantizer) == "ResidualFSQ([5, 4], stages=3, stage_dropout=0.0, channel_dim=-1, nan='error')"


class TestTraced:
    def test_whole_graph_forward_and_backward(self) -> None:
        quantizer = ResidualFSQ([5, 4], stages=3, channel_dim=1)
        compiled = torch.compile(quantizer, fullgraph=True, backend="aot_eager")
        results = []
        for module in (quantizer, compiled):
            leaf = latents(2, 2, 5).requires_grad_()
            out = module(leaf)
            out.codes.square().sum().backward()
            results.append((out.codes.detach(), out.indices, leaf.grad))
        for plain, traced in zip(*results, strict=True):
            torch.testing.assert_close(traced, plain, rtol=0, atol=0)

    def test_stage_dropout_compiles(self) -> None:
        quantizer = ResidualFSQ([5, 4], stages=3, stage_dropout=0.5).train()
        out = torch.compile(quantizer, fullgraph=True, backend="aot_eager")(latents(9, 2))
        assert torch.equal(quantizer.indices_to_codes(out.indices), out.codes)

    def test_decoding_compiles(self) -> None:
        quantizer = ResidualFSQ([5, 4], stages=2)
        there = torch.compile(quantizer.indices_to_codes, fullgraph=True, backend="aot_eager")
        back = torch.compile(quantizer.codes_to_indices, fullgraph=True, backend="aot_eager")
        indices = torch.cartesian_prod(torch.arange(20), torch.arange(20))
        assert torch.equal(back(there(indices)), indices)

    def test_vmap(self) -> None:
        quantizer = ResidualFSQ([5, 4], stages=2, nan="zero")
        z = latents(3, 6, 2)
        assert torch.equal(torch.vmap(lambda one: quantizer(one).indices)(z), quantizer(z).indices)


def test_export_leaves_the_batch_free() -> None:
    class RoundTrip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quantizer = ResidualFSQ([8, 5], stages=3).eval()

        def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            indices = self.quantizer(z).indices
            return indices, self.quantizer.indices_to_codes(indices)

    program = torch.export.export(RoundTrip(), (latents(9, 2),), dynamic_shapes={"z": {0: torch.export.Dim("n")}})
    for traced, plain in zip(program.module()(latents(31, 2)), RoundTrip()(latents(31, 2)), strict=True):
        assert torch.equal(traced, plain)
