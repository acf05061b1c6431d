"""Lookup-free quantization: bits, gradient, losses, state, tracing."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.quantize.binary.bsq import BSQ
from gridcode.quantize.binary.lfq import LFQ


def latents(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@settings(max_examples=60, deadline=None)
@given(bits=st.integers(1, 63), shape=st.lists(st.integers(0, 4), max_size=3), data=st.data())
def test_any_rank_channel_dimension_and_dtype(bits: int, shape: list[int], data: st.DataObject) -> None:
    channel_dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
    place = channel_dim % (len(shape) + 1)
    z = latents(*shape[:place], bits, *shape[place:]).to(dtype)
    quantizer = LFQ(bits, channel_dim=channel_dim)
    out = quantizer(z)
    assert out.codes.dtype == dtype
    assert out.codes.shape == z.shape
    assert torch.equal(out.codes, torch.where(z > 0, 1.0, -1.0).to(dtype))
    assert out.indices.shape == tuple(shape)
    assert torch.isfinite(out.loss)
    assert (out.loss.dtype, out.loss.shape) == (torch.float32, ())
    assert torch.equal(quantizer.codes_to_indices(out.codes), out.indices)
    assert torch.equal(quantizer.indices_to_codes(out.indices, dtype=dtype), out.codes)


@settings(max_examples=40, deadline=None)
@given(bits=st.integers(1, 63), data=st.data())
def test_the_first_bit_counts_least(bits: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, 2**bits - 1))
    codes = LFQ(bits).indices_to_codes(torch.tensor(index))
    assert codes.tolist() == [1.0 if index >> i & 1 else -1.0 for i in range(bits)]
    assert int(LFQ(bits).codes_to_indices(codes)) == index


def test_zero_is_the_lower_code() -> None:
    out = LFQ(3)(torch.tensor([[0.0, -0.0, 1e-45]]))
    assert out.codes.tolist() == [[-1, -1, 1]]
    assert out.indices.tolist() == [4]


def test_loss_is_that_of_the_paper() -> None:
    z = latents(30, 6).double()
    settings_ = {"entropy": 0.3, "diversity": 0.7, "commitment": 0.2, "temperature": 0.9}
    out = LFQ(6, group=6, **settings_)(z)  # type: ignore[arg-type]
    rows = z.numpy()
    book = LFQ(6).indices_to_codes(torch.arange(64), dtype=torch.float64).numpy()
    scores = -((rows[:, None] - book) ** 2).sum(-1) / 0.9
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    entropies = -(p * np.log(p)).sum(1).mean() + 0.7 * (p.mean(0) * np.log(p.mean(0))).sum()
    commitment = ((rows - np.sign(rows)) ** 2).mean()
    assert float(out.loss) == pytest.approx(0.3 * entropies + 0.2 * commitment, rel=1e-6)


def test_loss_is_that_of_vector_quantize_pytorch() -> None:
    peer = pytest.importorskip("vector_quantize_pytorch").LFQ(dim=6, codebook_size=64, commitment_loss_weight=0.25)
    z = 0.3 * latents(2, 50, 6)
    _, _, loss = peer.train()(z, inv_temperature=1 / 0.4)
    ours = LFQ(6, group=6, temperature=0.4)(z).loss
    # The peer's logarithm stops at 1e-5.
    assert float(ours) == pytest.approx(float(loss), abs=2e-4)


def test_gradient_is_straight_through_and_the_commitments() -> None:
    z = latents(8, 4).requires_grad_()
    upstream = latents(8, 4).flip(0)
    LFQ(4, entropy=0, commitment=0)(z).codes.backward(upstream)
    assert z.grad is not None
    assert torch.equal(z.grad, upstream)
    z.grad = None
    LFQ(4, entropy=0, commitment=0.5)(z).loss.backward()
    torch.testing.assert_close(z.grad, 0.5 * 2 * (z - z.sign()).detach() / z.numel())


def test_the_entropy_loss_makes_bits_certain_and_spreads_codes() -> None:
    torch.manual_seed(0)
    z = (1 + 0.1 * torch.randn(256, 4)).requires_grad_()
    quantizer, optimizer = LFQ(4, commitment=0, temperature=4.0), torch.optim.Adam([z], lr=0.05)
    before = quantizer(z).indices.unique().numel()
    for _ in range(200):
        optimizer.zero_grad()
        quantizer(z).loss.backward()
        optimizer.step()
    assert before == 1
    assert quantizer(z).indices.unique().numel() == 16


def test_where_there_is_no_loss() -> None:
    quantizer, z = LFQ(5), latents(20, 5)
    assert float(quantizer(z).loss) != 0
    assert float(LFQ(5).eval()(z).loss) == 0
    assert float(LFQ(5, entropy=0, commitment=0)(z).loss) == 0
    assert float(quantizer(z[:0]).loss) == 0


def test_infinite_and_huge_latents_give_exact_codes() -> None:
    z = torch.tensor([[math.inf, -math.inf, 3e38, -1e-40]], requires_grad=True)
    out = LFQ(4, commitment=0)(z)
    assert out.codes.tolist() == [[1, -1, 1, -1]]
    assert torch.isfinite(out.loss)
    (out.codes.sum() + out.loss).backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_nan_can_count_as_zero() -> None:
    z = torch.tensor([[math.nan, 1.0], [0.0, 1.0]], requires_grad=True)
    out = LFQ(2, nan="zero")(z)
    assert out.indices.tolist() == [2, 2]
    (out.codes.sum() + out.loss).backward()
    assert z.grad is not None
    assert z.grad[0, 0] == 0
    assert torch.isfinite(z.grad).all()


def test_autocast_changes_nothing() -> None:
    quantizer, z = LFQ(8), latents(50, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = quantizer(z)
    assert torch.equal(out.loss, quantizer(z).loss)
    assert out.codes.dtype == torch.float32


@pytest.mark.parametrize("kind", [LFQ, BSQ])
class TestRefused:
    @pytest.mark.parametrize("bits", [0, 64, -1, 2.0, True, "8", None])
    def test_bits(self, kind: Any, bits: object) -> None:
        with pytest.raises(GridcodeError, match=f"{kind.__name__.lower()}: bits is .*whole number from 1 to 63"):
            kind(bits)

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("entropy", -0.1, "a loss's weight must be 0 or more"),
            ("diversity", math.nan, "diversity is nan; a loss's weight"),
            ("commitment", math.inf, "commitment is inf; a loss's weight"),
            ("commitment", "1", "commitment is '1'; a loss's weight"),
            ("temperature", 0, "temperature is 0; it must be above 0"),
            ("temperature", math.nan, "temperature is nan"),
            ("group", 0, "group is 0; it must be a whole number from 1 to 20"),
            ("group", 21, "group is 21"),
            ("group", 1.0, "group is 1.0"),
            ("nan", "drop", 'choose "error" or "zero"'),
        ],
    )
    def test_settings(self, kind: Any, name: str, value: object, message: str) -> None:
        with pytest.raises(GridcodeError, match=f"(?i){kind.__name__}: .*{message}"):
            kind(4, **{name: value})

    def test_codes(self, kind: Any) -> None:
        quantizer = kind(4)
        codes = quantizer.indices_to_codes(torch.tensor([3, 9]))
        for bad in (0.0, 0.75, 2.0, math.nan, math.inf):
            wrong = codes.clone()
            wrong[1, 2] = bad
            with pytest.raises(GridcodeError, match="1 of 8 code components are not ±"):
                quantizer.codes_to_indices(wrong)
        with pytest.raises(GridcodeError, match="give floats"):
            quantizer.codes_to_indices(codes.long())
        with pytest.raises(GridcodeError, match="choose a floating dtype"):
            quantizer.indices_to_codes(torch.tensor(1), dtype=torch.int64)

    @pytest.mark.parametrize("bad", [-1, 16, 2**62])
    def test_indices(self, kind: Any, bad: int) -> None:
        with pytest.raises(GridcodeError, match=rf"saw index {bad}, but indices of levels \[2, 2, 2, 2\]"):
            kind(4).indices_to_codes(torch.tensor([bad]))

    def test_other_weights(self, kind: Any) -> None:
        quantizer = kind(6)
        quantizer.load_state_dict(kind(6, entropy=0.5).state_dict())
        name = kind.__name__.lower()
        with pytest.raises(GridcodeError, match=f"saved with name '{name}', bits 4, but this .* '{name}', bits 6"):
            quantizer.load_state_dict(kind(4).state_dict())
        other = BSQ if kind is LFQ else LFQ
        with pytest.raises(GridcodeError, match=f"saved with name '{other.__name__.lower()}'"):
            quantizer.load_state_dict(other(6).state_dict())


@pytest.mark.parametrize("kind", [LFQ, BSQ])
class TestModule:
    def test_copies_and_the_meta_device_keep_the_results(self, kind: Any) -> None:
        quantizer, z = kind(6), latents(20, 6)
        with torch.device("meta"):
            meta = kind(6)
            out = meta(torch.randn(3, 6))
        assert out.codes.shape == (3, 6)
        assert out.loss.shape == ()
        for twin in (copy.deepcopy(quantizer), pickle.loads(pickle.dumps(quantizer)), meta.to_empty(device="cpu")):
            assert torch.equal(twin(z).codes, quantizer(z).codes)
            assert torch.equal(twin(z).loss, quantizer(z).loss)
            assert twin.spec() == quantizer.spec()
        assert (
            kind(**{key: value for key, value in quantizer.spec().items() if key != "name"}).spec() == quantizer.spec()
        )
        assert str(quantizer).startswith(f"{kind.__name__}(6, entropy=0.1")

    def test_whole_graph_forward_and_backward(self, kind: Any) -> None:
        quantizer = kind(6, channel_dim=1, group=4, commitment=0.1)
        compiled = torch.compile(quantizer, fullgraph=True, backend="aot_eager")
        results = []
        for module in (quantizer, compiled):
            leaf = latents(2, 6, 5).requires_grad_()
            out = module(leaf)
            (out.codes.square().sum() + out.loss).backward()
            results.append((out.codes.detach(), out.indices, out.loss.detach(), leaf.grad))
        for plain, traced in zip(*results, strict=True):
            torch.testing.assert_close(traced, plain, rtol=1e-6, atol=1e-7)

    def test_decoding_compiles(self, kind: Any) -> None:
        quantizer = kind(6)
        there = torch.compile(quantizer.indices_to_codes, fullgraph=True, backend="aot_eager")
        back = torch.compile(quantizer.codes_to_indices, fullgraph=True, backend="aot_eager")
        assert torch.equal(back(there(torch.arange(64))), torch.arange(64))

    def test_export_leaves_the_batch_free(self, kind: Any) -> None:
        class Indices(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.quantizer = kind(6, group=4, commitment=0.1)

            def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                out = self.quantizer(z)
                return out.indices, out.loss

        program = torch.export.export(Indices(), (latents(9, 6),), dynamic_shapes={"z": {0: torch.export.Dim("n")}})
        indices, loss = program.module()(latents(31, 6))
        plain = kind(6, group=4, commitment=0.1)(latents(31, 6))
        assert torch.equal(indices, plain.indices)
        torch.testing.assert_close(loss, plain.loss)
