"""Masks for padded sequences: what stands in masked places changes nothing, and decoding needs the mask."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantizer
from gridcode.quantize.binary.bsq import BSQ
from gridcode.quantize.binary.lfq import LFQ
from gridcode.quantize.fsq.dither import Dither
from gridcode.quantize.fsq.grouped import GroupedFSQ
from gridcode.quantize.fsq.quantizer import FSQ
from gridcode.quantize.fsq.residual import ResidualFSQ
from gridcode.quantize.partial import decode_masked, quantize_masked
from gridcode.quantize.vq import VQ

KINDS: dict[str, Callable[[int], Quantizer]] = {
    "fsq": lambda dim: FSQ([5, 4, 3, 2], channel_dim=dim),
    "residual": lambda dim: ResidualFSQ([5, 4, 3, 2], stages=2, channel_dim=dim),
    "grouped": lambda dim: GroupedFSQ([5, 4], groups=2, channel_dim=dim),
    "lfq": lambda dim: LFQ(4, channel_dim=dim),
    "bsq": lambda dim: BSQ(4, commitment=0.1, channel_dim=dim),
    "vq": lambda dim: VQ.plain(16, 4, channel_dim=dim),
}
EVERY = pytest.mark.parametrize("kind", KINDS)


def latents(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@EVERY
@settings(max_examples=20, deadline=None)
@given(shape=st.lists(st.integers(0, 4), max_size=3), data=st.data())
def test_only_real_places_are_seen(kind: str, shape: list[int], data: st.DataObject) -> None:
    channel_dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
    place = channel_dim % (len(shape) + 1)
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99)))) < 0.6
    torch.manual_seed(0)
    quantizer, single = KINDS[kind](channel_dim).eval(), KINDS[kind](-1).eval()
    if kind == "vq":
        single.load_state_dict(quantizer.state_dict())
    vectors = latents(*shape, 4)
    padded = vectors.masked_fill(~mask.unsqueeze(-1), math.nan).movedim(-1, place)
    out = quantize_masked(quantizer, padded, mask)
    plain = single(vectors[mask].reshape(-1, 4))
    assert out.codes.shape == padded.shape
    assert torch.equal(out.indices[mask].reshape(plain.indices.shape), plain.indices)
    assert (out.indices[~mask] == -1).all()
    codes = out.codes.movedim(place, -1)
    assert torch.equal(codes[mask].reshape(-1, 4), plain.codes)
    assert (codes[~mask] == 0).all()
    torch.testing.assert_close(out.loss, plain.loss)
    assert torch.equal(decode_masked(quantizer, out.indices, mask), out.codes)


@EVERY
def test_gradient_reaches_real_places_alone(kind: str) -> None:
    quantizer = KINDS[kind](1).train()
    mask = torch.arange(6) < torch.tensor([[3], [6], [0]])
    z = latents(3, 4, 6).masked_fill(~mask.unsqueeze(1), math.nan).requires_grad_()
    out = quantize_masked(quantizer, z, mask)
    (out.codes.square().sum() + out.codes.sum() + out.loss).backward()
    assert z.grad is not None
    grad = z.grad.movedim(1, -1)
    assert (grad[~mask] == 0).all()
    assert torch.isfinite(grad).all()
    assert grad[mask].abs().sum() > 0


@EVERY
def test_a_mask_may_broadcast(kind: str) -> None:
    quantizer, z = KINDS[kind](-1).eval(), latents(3, 5, 4)
    row = torch.tensor([True, True, False, True, False])
    whole = quantize_masked(quantizer, z, row.expand(3, 5))
    for mask in (row, row[None]):
        out = quantize_masked(quantizer, z, mask)
        assert torch.equal(out.indices, whole.indices)
        assert torch.equal(decode_masked(quantizer, out.indices, mask), whole.codes)


@EVERY
def test_real_places_without_an_index_are_refused(kind: str) -> None:
    quantizer = KINDS[kind](-1).eval()
    mask = torch.tensor([[True, False, True]])
    indices = quantize_masked(quantizer, latents(1, 3, 4), mask).indices
    message = "1 of 3 real places have the index -1, which is a masked place's; give the mask"
    with pytest.raises(GridcodeError, match=message):
        decode_masked(quantizer, indices, torch.ones_like(mask))
    with pytest.raises(GridcodeError):
        quantizer.indices_to_codes(indices)


@pytest.mark.parametrize(
    "mask",
    [torch.ones(2, 6), torch.ones(2, 6, dtype=torch.int64), torch.ones(2, 5).bool(), torch.ones(1, 2, 6).bool()],
    ids=["float", "integer", "length", "rank"],
)
def test_masks_of_another_kind_or_shape_are_refused(mask: torch.Tensor) -> None:
    quantizer, z = FSQ([8, 5], channel_dim=1), latents(2, 2, 6)
    with pytest.raises(GridcodeError, match=r"give bool of shape \(2, 6\), one for each place of the latents"):
        quantize_masked(quantizer, z, mask)
    with pytest.raises(GridcodeError, match="one for each place of the indices"):
        decode_masked(quantizer, torch.zeros(2, 6, dtype=torch.int64), mask)


def test_indices_without_their_last_dimension_are_refused() -> None:
    with pytest.raises(GridcodeError, match=r"indices of shape \(\) do not end in the 1 dimension"):
        decode_masked(GroupedFSQ([8, 5]), torch.tensor(3), torch.tensor(True))


def test_real_nan_is_refused_and_masked_nan_is_not() -> None:
    for quantizer in (FSQ([8, 5]), LFQ(2)):
        z = torch.tensor([[math.nan, 0.0], [1.0, math.nan]])
        with pytest.raises(GridcodeError, match=r"1 of \d latents are NaN"):
            quantize_masked(quantizer, z, torch.tensor([True, False]))


def test_a_learning_book_counts_real_places_alone() -> None:
    torch.manual_seed(0)
    quantizer = VQ.uvim(8, 4)
    twin, z = copy.deepcopy(quantizer), latents(3, 6, 4)
    mask = torch.arange(6) < torch.tensor([[3], [6], [0]])
    for _ in range(3):
        quantize_masked(quantizer, z, mask)
        twin(z[mask])
    for name, value in quantizer.state_dict().items():
        torch.testing.assert_close(value, twin.state_dict()[name], rtol=0, atol=0)


def test_stage_dropout_and_dither_stay_choices_for_each_sample() -> None:
    torch.manual_seed(0)
    z, mask = latents(60, 5, 2), torch.rand(60, 5) < 0.8
    out = quantize_masked(ResidualFSQ([5, 4], stages=3, stage_dropout=1.0).train(), z, mask)
    kept = (out.indices >= 0).sum(-1)
    assert all(len(set(row[real].tolist())) <= 1 for row, real in zip(kept, mask, strict=True))
    quantizer = FSQ([5, 4], form="dithered", dither=Dither(noise=0.0, raw=0.5)).train()
    raw = (quantize_masked(quantizer, z, mask).codes == quantizer.relax(z)).all(-1)
    assert all(len(set(row[real].tolist())) <= 1 for row, real in zip(raw, mask, strict=True))


def test_dropped_stages_decode_through_the_mask() -> None:
    torch.manual_seed(0)
    quantizer = ResidualFSQ([5, 4], stages=3, stage_dropout=1.0).train()
    mask = torch.tensor([[True, False]] * 20)
    out = quantize_masked(quantizer, latents(20, 2, 2), mask)
    assert torch.equal(decode_masked(quantizer, out.indices, mask), out.codes)


@pytest.mark.parametrize("kind", ["fsq", "residual", "grouped"])
def test_whole_graph(kind: str) -> None:
    quantizer, z = KINDS[kind](-1).eval(), latents(2, 6, 4)
    mask = torch.arange(6) < torch.tensor([[3], [6]])
    compiled = torch.compile(lambda z, mask: quantize_masked(quantizer, z, mask), fullgraph=True, backend="aot_eager")
    out, plain = compiled(z, mask), quantize_masked(quantizer, z, mask)
    assert torch.equal(out.codes, plain.codes)
    assert torch.equal(out.indices, plain.indices)
