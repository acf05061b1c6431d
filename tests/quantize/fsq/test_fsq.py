"""FSQ as a module: shapes, precisions, what is refused, state dicts, compilers."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gridcode.errors import GridcodeError
from gridcode.quantize import FSQ, Quantized
from gridcode.quantize.fsq.quantizer import quantize_by_the_formula

level_lists = st.lists(st.integers(2, 40), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(levels=level_lists, shape=st.lists(st.integers(0, 4), max_size=4), data=st.data())
def test_any_rank_and_channel_dimension(levels: list[int], shape: list[int], data: st.DataObject) -> None:
    channel_dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
    place = channel_dim % (len(shape) + 1)
    latents = torch.randn([*shape[:place], len(levels), *shape[place:]])
    quantizer = FSQ(levels, channel_dim=channel_dim)
    out = quantizer(latents)
    assert out.codes.shape == latents.shape
    assert out.indices.shape == tuple(shape)
    assert out.indices.dtype == torch.int64
    assert out.codes.numel() == 0 or (out.codes.min() >= -1 and out.codes.max() <= 1)
    assert torch.equal(quantizer.codes_to_indices(out.codes), out.indices)
    assert torch.equal(quantizer.indices_to_codes(out.indices), out.codes)
    # The same numbers with the channels last.
    last = FSQ(levels)(latents.movedim(channel_dim, -1))
    assert torch.equal(last.indices, out.indices)
    assert torch.equal(last.codes.movedim(-1, channel_dim), out.codes)


@settings(max_examples=60, deadline=None)
@given(levels=level_lists, data=st.data())
def test_indices_survive_the_way_through_codes(levels: list[int], data: st.DataObject) -> None:
    quantizer = FSQ(levels)
    indices = data.draw(st.lists(st.integers(0, quantizer.codebook_size - 1), max_size=20))
    tensor = torch.tensor(indices, dtype=torch.int64)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        codes = quantizer.indices_to_codes(tensor, dtype=dtype)
        assert torch.equal(quantizer.codes_to_indices(codes), tensor)


@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [2], [3, 4, 16], [1000, 7]])
def test_the_formula_and_the_fast_path_are_equal(levels: list[int]) -> None:
    written = (3 * torch.randn(500, len(levels), dtype=torch.float64)).requires_grad_()
    fast = written.detach().clone().requires_grad_()
    upstream = torch.randn(500, len(levels), dtype=torch.float64)
    codes, out = quantize_by_the_formula(written, levels), FSQ(levels)(fast)
    torch.testing.assert_close(out.codes, codes, rtol=0, atol=1e-12)
    codes.backward(upstream)
    out.codes.backward(upstream)
    torch.testing.assert_close(fast.grad, written.grad, rtol=1e-9, atol=1e-12)


def test_neighbouring_indices_differ_in_the_first_channel() -> None:
    codes = FSQ([3, 5]).indices_to_codes(torch.arange(4))
    assert codes.tolist() == [[-1, -1], [0, -1], [1, -1], [-1, -0.5]]


def test_codes_of_even_levels_run_from_minus_one_to_one_less_a_step() -> None:
    assert FSQ([4]).indices_to_codes(torch.arange(4)).flatten().tolist() == [-1, -0.5, 0, 0.5]


def test_the_output_is_a_frozen_record_with_no_loss() -> None:
    out = FSQ([8, 5])(torch.randn(3, 2))
    assert isinstance(out, Quantized)
    assert out.loss.shape == ()
    assert out.loss == 0
    assert not list(FSQ([8, 5]).parameters())


def test_codes_never_are_minus_zero() -> None:
    codes = FSQ([5])(torch.tensor([[-0.01], [0.01]])).codes
    assert not torch.signbit(codes).any()


def test_infinite_latents_give_the_end_levels() -> None:
    latents = torch.tensor([[-math.inf, math.inf], [math.inf, -math.inf]], requires_grad=True)
    out = FSQ([8, 5])(latents)
    assert out.indices.tolist() == [32, 7]
    out.codes.sum().backward()
    assert latents.grad is not None
    assert latents.grad.eq(0).all()


def test_autocast_changes_nothing() -> None:
    quantizer = FSQ([8, 5, 5, 5], channel_dim=1)
    latents = torch.randn(2, 4, 16, 16)
    plain = quantizer(latents)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = quantizer(latents)
        codes = quantizer.indices_to_codes(out.indices)
    assert out.codes.dtype == codes.dtype == torch.float32
    assert torch.equal(out.indices, plain.indices)
    assert torch.equal(out.codes, plain.codes)
    assert torch.equal(codes, plain.codes)


def test_nan_is_refused_with_a_count() -> None:
    latents = torch.zeros(2, 3, 2)
    latents[0, 1] = math.nan
    with pytest.raises(GridcodeError, match=r"2 of 12 latents are NaN; .*nan=\"zero\""):
        FSQ([8, 5])(latents)


def test_nan_can_count_as_zero() -> None:
    latents = torch.tensor([[math.nan, 1.0], [0.0, 1.0]], requires_grad=True)
    out = FSQ([8, 5], nan="zero")(latents)
    assert torch.equal(out.codes[0], out.codes[1])
    out.codes.sum().backward()
    assert latents.grad is not None
    assert latents.grad[0, 0] == 0
    assert latents.grad[1, 0] > 0


@pytest.mark.parametrize("bad", [-1, 40, 2**62, -(2**63)])
def test_indices_outside_the_book_are_refused_by_value(bad: int) -> None:
    message = rf"saw index {bad}, but indices of levels \[8, 5\] lie in \[0, 40\)"
    with pytest.raises(GridcodeError, match=message):
        FSQ([8, 5]).indices_to_codes(torch.tensor([0, bad]))


def test_negative_indices_of_the_largest_book_are_refused() -> None:
    with pytest.raises(GridcodeError, match="saw index -1"):
        FSQ([8] * 21).indices_to_codes(torch.tensor(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64], ids=str)
def test_indices_must_be_integers(dtype: torch.dtype) -> None:
    with pytest.raises(GridcodeError, match="give integers"):
        FSQ([8, 5]).indices_to_codes(torch.zeros(3, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_small_integers_are_indices_too(dtype: torch.dtype) -> None:
    quantizer = FSQ([8, 5])
    codes = quantizer.indices_to_codes(torch.arange(40, dtype=dtype))
    assert torch.equal(codes, quantizer.indices_to_codes(torch.arange(40)))


def test_codes_outside_the_grid_are_refused() -> None:
    quantizer = FSQ([8, 5])
    for bad in (1.5, -2.0, math.nan, math.inf, 1.0):  # 1.0 is no code of an even level
        with pytest.raises(GridcodeError, match="1 of 4 code components are not codes of levels"):
            quantizer.codes_to_indices(torch.tensor([[0.0, 0.0], [bad, 1.0]]))


@pytest.mark.parametrize(
    ("latents", "options", "message"),
    [
        (
            torch.zeros(2, 3),
            {},
            r"latents of shape \(2, 3\) have 3 channels in dimension -1, it needs 2",
        ),
        (torch.zeros(2, 3, 4, 4), {"channel_dim": 1}, r"have 3 channels in dimension 1"),
        (torch.zeros(2), {"channel_dim": 1}, r"latents of shape \(2,\) have no dimension 1"),
        (torch.zeros(()), {}, r"latents of shape \(\) have no dimension -1"),
        (torch.zeros(2, 2, dtype=torch.int64), {}, "latents are torch.int64; give floats"),
        (torch.zeros(2, 2, dtype=torch.complex64), {}, "latents are torch.complex64; give floats"),
    ],
)
def test_latents_of_a_wrong_shape_or_kind_are_refused(
    latents: torch.Tensor, options: dict[str, int], message: str
) -> None:
    with pytest.raises(GridcodeError, match=message):
        FSQ([8, 5], **options)(latents)  # type: ignore[arg-type]


def test_indices_without_a_place_for_channels_are_refused() -> None:
    with pytest.raises(GridcodeError, match="have no dimension 3"):
        FSQ([8, 5], channel_dim=3).indices_to_codes(torch.zeros(2, dtype=torch.int64))


def test_codes_must_have_a_floating_dtype() -> None:
    with pytest.raises(GridcodeError, match="choose a floating dtype"):
        FSQ([8, 5]).indices_to_codes(torch.tensor([1]), dtype=torch.int64)


@pytest.mark.parametrize(
    ("levels", "eps"),
    [([8, 5], -1e-3), ([8, 5], 1 / 7), ([8, 5], math.nan), ([1001], 1e-3), ([2], 1.0)],
)
def test_eps_must_leave_the_end_levels_within_reach(levels: list[int], eps: float) -> None:
    message = "use a smaller eps or smaller levels" if eps > 0 else r"give a number in \[0, 0.142857\)"
    with pytest.raises(GridcodeError, match=message):
        FSQ(levels, eps=eps)


def test_a_thousand_levels_are_reached_to_both_ends() -> None:
    out = FSQ([1000])(torch.tensor([[-20.0], [20.0]]))
    assert out.indices.tolist() == [0, 999]


def test_unknown_nan_policy_is_refused() -> None:
    with pytest.raises(GridcodeError, match='choose "error" or "zero"'):
        FSQ([8], nan="ignore")  # type: ignore[arg-type]


class TestState:
    def test_form_levels_and_eps_are_recorded_and_fit_safetensors(self, tmp_path: Path) -> None:
        model = nn.Sequential(nn.Linear(3, 2), FSQ([8, 5], form="atanh", eps=0.01))
        safetensors.torch.save_file(model.state_dict(), tmp_path / "m.safetensors")
        loaded = safetensors.torch.load_file(tmp_path / "m.safetensors")
        assert loaded["1._extra_state"].tolist() == [1, 10**10, 8, 5]
        nn.Sequential(nn.Linear(3, 2), FSQ([8, 5], form="atanh", eps=0.01)).load_state_dict(loaded)

    def test_other_levels_are_refused_and_both_are_named(self) -> None:
        message = r"levels \[8, 5\], eps 0.001, but this quantizer has name 'fsq', form 'paper', levels \[5, 8\]"
        with pytest.raises(GridcodeError, match=message):
            FSQ([5, 8]).load_state_dict(FSQ([8, 5]).state_dict())

    def test_another_eps_is_refused(self) -> None:
        with pytest.raises(GridcodeError, match=r"eps 0.001, but this quantizer has .* levels \[8, 5\], eps 0.002"):
            FSQ([8, 5], eps=0.002).load_state_dict(FSQ([8, 5]).state_dict())

    def test_another_form_is_refused_and_both_are_named(self) -> None:
        message = r"form 'paper', .* but this quantizer has .*form 'symmetric'"
        with pytest.raises(GridcodeError, match=message):
            FSQ([8, 5], form="symmetric").load_state_dict(FSQ([8, 5]).state_dict())

    @pytest.mark.parametrize("record", [None, torch.zeros(3), torch.zeros(0, dtype=torch.int64)])
    def test_a_record_of_something_else_is_refused(self, record: object) -> None:
        with pytest.raises(GridcodeError, match="record of its settings is not readable"):
            FSQ([5, 8]).load_state_dict({"_extra_state": record})

    def test_the_record_is_the_one_that_hashes_of_tokenizers_cover(self) -> None:
        saved = {"_extra_state": torch.tensor([1, 10**10, 8, 5])}
        FSQ([8, 5], form="atanh", eps=0.01).load_state_dict(saved)
        with pytest.raises(GridcodeError, match=r"form 'atanh', levels \[8, 5\], eps 0.01, but this .* form 'paper'"):
            FSQ([8, 5]).load_state_dict(saved)
        with pytest.raises(GridcodeError, match="number 9, unknown here"):
            FSQ([8, 5]).load_state_dict({"_extra_state": torch.tensor([9, 10**9, 8, 5])})

    def test_casting_the_model_leaves_the_record_and_the_results(self) -> None:
        latents = torch.randn(50, 2)
        cast = FSQ([8, 5]).to(torch.bfloat16)
        FSQ([8, 5]).load_state_dict(cast.state_dict())
        assert torch.equal(cast(latents).codes, FSQ([8, 5])(latents).codes)

    def test_deepcopy_and_pickle(self) -> None:
        quantizer, latents = FSQ([8, 5], channel_dim=1, nan="zero"), torch.randn(3, 2, 4)
        for twin in (copy.deepcopy(quantizer), pickle.loads(pickle.dumps(quantizer))):
            assert torch.equal(twin(latents).codes, quantizer(latents).codes)
            assert twin.spec() == quantizer.spec()

    def test_meta_device_and_to_empty(self) -> None:
        with torch.device("meta"):
            quantizer = FSQ([8, 5])
            shape = quantizer(torch.randn(3, 2)).codes.shape
            state = quantizer.state_dict()
        assert shape == (3, 2)
        assert state["_extra_state"].tolist() == [0, 10**9, 8, 5]
        latents = torch.randn(50, 2)
        assert torch.equal(quantizer.to_empty(device="cpu")(latents).codes, FSQ([8, 5])(latents).codes)

    def test_spec_and_print(self) -> None:
        quantizer = FSQ([8, 5])
        assert quantizer.spec() == {"name": "fsq", "form": "paper", "levels": [8, 5], "eps": 1e-3}
        assert str(quantizer) == "FSQ([8, 5], form='paper', eps=0.001, channel_dim=-1, nan='error')"


class TestCompiled:
    @pytest.mark.parametrize("backend", ["eager", "aot_eager"])
    def test_whole_graph_forward_and_backward(self, backend: str) -> None:
        quantizer = FSQ([8, 5, 5, 5], channel_dim=1)
        compiled = torch.compile(quantizer, fullgraph=True, backend=backend)
        latents = torch.randn(2, 4, 3, 3)
        results = []
        for module in (quantizer, compiled):
            leaf = latents.clone().requires_grad_()
            out = module(leaf)
            out.codes.square().sum().backward()
            results.append((out.codes.detach(), out.indices, leaf.grad))
        for plain, traced in zip(*results, strict=True):
            torch.testing.assert_close(traced, plain, rtol=0, atol=0)

    def test_traced_code_counts_nan_as_zero(self) -> None:
        quantizer = FSQ([8, 5])
        compiled = torch.compile(quantizer, fullgraph=True, backend="eager")
        latents = torch.tensor([[math.nan, 1.0], [0.0, 1.0]])
        assert torch.equal(compiled(latents).indices, quantizer(latents.nan_to_num()).indices)

    def test_decoding_compiles(self) -> None:
        quantizer = FSQ([8, 5])
        there = torch.compile(quantizer.indices_to_codes, fullgraph=True, backend="eager")
        back = torch.compile(quantizer.codes_to_indices, fullgraph=True, backend="eager")
        indices = torch.arange(40)
        assert torch.equal(back(there(indices)), indices)

    def test_export(self) -> None:
        quantizer = FSQ([8, 5])
        latents = torch.randn(3, 2)

        class Indices(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.quantizer = quantizer

            def forward(self, latents: torch.Tensor) -> torch.Tensor:
                return self.quantizer(latents).indices

        program = torch.export.export(Indices(), (latents,))
        assert torch.equal(program.module()(latents), quantizer(latents).indices)
