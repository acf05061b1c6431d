"""What holds for every quantizer: shapes, round trips, dtypes, masks, dropout, state, and what is refused."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.quantize.base import Quantizer
from gridcode.quantize.binary.bsq import BSQ
from gridcode.quantize.binary.lfq import LFQ
from gridcode.quantize.fsq.forms import FORMS, FormName
from gridcode.quantize.fsq.grouped import GroupedFSQ
from gridcode.quantize.fsq.quantizer import FSQ
from gridcode.quantize.fsq.residual import ResidualFSQ
from gridcode.quantize.partial import decode_masked, quantize_masked, quantize_with_dropout
from gridcode.quantize.vq import VQ

Make = Callable[[int], Quantizer]
FAMILY: dict[str, Make] = {
    "fsq": lambda dim: FSQ([8, 5, 3, 2], channel_dim=dim),
    "residual": lambda dim: ResidualFSQ([5, 4, 3, 2], stages=3, channel_dim=dim),
    "grouped": lambda dim: GroupedFSQ([8, 5], groups=2, channel_dim=dim),
    "lfq": lambda dim: LFQ(4, channel_dim=dim),
    "bsq": lambda dim: BSQ(4, channel_dim=dim),
    "vq": lambda dim: VQ.plain(32, 4, channel_dim=dim),
}
everyone = pytest.mark.parametrize("make", FAMILY.values(), ids=FAMILY.keys())


def latents(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@everyone
@pytest.mark.parametrize(("shape", "dim"), [((7, 4), -1), ((2, 4, 3, 5), 1), ((4,), 0), ((0, 4), 1), ((2, 3, 4), 2)])
def test_shapes_and_round_trip(make: Make, shape: tuple[int, ...], dim: int) -> None:
    quantizer = make(dim).eval()
    out = quantizer(latents(*shape))
    places = [size for i, size in enumerate(shape) if i != dim % len(shape)]
    assert out.codes.shape == shape
    assert list(out.indices.shape) == [*places, *quantizer.index_shape]
    assert out.indices.dtype == torch.int64
    assert out.loss.shape == ()
    assert torch.equal(quantizer.indices_to_codes(out.indices), out.codes)
    assert torch.equal(quantizer.codes_to_indices(out.codes), out.indices)
    if out.indices.numel():
        assert 0 <= int(out.indices.min()) <= int(out.indices.max()) < quantizer.codebook_size


@everyone
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_codes_keep_the_dtype_and_give_their_index_back(make: Make, dtype: torch.dtype) -> None:
    quantizer = make(-1).eval()
    out = quantizer(latents(50, 4).to(dtype))
    assert out.codes.dtype == dtype
    assert torch.equal(quantizer.codes_to_indices(out.codes), out.indices)


@everyone
def test_gradients_reach_the_latents(make: Make) -> None:
    z = latents(9, 4).requires_grad_()
    out = make(-1).train()(z)
    (out.codes.sum() + out.loss).backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert z.grad.abs().sum() > 0


@everyone
def test_nan_and_integers_are_refused(make: Make) -> None:
    bad = latents(3, 4)
    bad[1, 2] = math.nan
    with pytest.raises(GridcodeError, match="1 of 12 latents are NaN"):
        make(-1)(bad)
    with pytest.raises(GridcodeError, match=r"torch\.int64; give floats"):
        make(-1)(torch.zeros(3, 4, dtype=torch.int64))
    with pytest.raises(GridcodeError, match="channels in dimension"):
        make(-1)(torch.zeros(3, 5))


@everyone
def test_deepcopy_and_state_dict(make: Make) -> None:
    quantizer, z = make(-1).eval(), latents(9, 4)
    twin = make(-1).eval()
    twin.load_state_dict(quantizer.state_dict())
    for other in (twin, copy.deepcopy(quantizer)):
        assert torch.equal(other(z).indices, quantizer(z).indices)
    assert twin.spec() == quantizer.spec()


@everyone
def test_masked_places_are_left_out(make: Make) -> None:
    quantizer = make(1).eval()
    z = latents(2, 4, 6)
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6])
    padded = z.clone()
    padded[0, :, 4:] = math.nan
    out, plain = quantize_masked(quantizer, padded, mask), quantizer(z)
    assert torch.equal(out.indices[mask], plain.indices[mask])
    assert (out.indices[~mask] == -1).all()
    assert (out.codes.movedim(1, -1)[~mask] == 0).all()
    assert torch.equal(decode_masked(quantizer, out.indices, mask), out.codes)
    with pytest.raises(GridcodeError, match="give bool of shape"):
        quantize_masked(quantizer, z, mask[:, :3])


def test_a_book_learns_nothing_from_padding() -> None:
    torch.manual_seed(0)
    quantizer = VQ.uvim(8, 4)
    twin = copy.deepcopy(quantizer)
    z = latents(2, 6, 4)
    mask = torch.arange(6) < torch.tensor([[3], [6]])
    quantize_masked(quantizer, z, mask)
    twin(z[mask])
    assert torch.equal(quantizer.codebook, twin.codebook)


@everyone
def test_dropout_passes_whole_samples(make: Make) -> None:
    quantizer, z = make(1).train(), latents(400, 4, 3)
    out = quantize_with_dropout(quantizer, z, 0.5, generator=torch.Generator().manual_seed(1))
    passed = (out.codes == quantizer.relax(z)).flatten(1).all(1)
    assert 0.4 < float(passed.float().mean()) < 0.6
    plain = quantizer.eval()
    assert torch.equal(quantize_with_dropout(plain, z, 0.5).codes, plain(z).codes)
    with pytest.raises(GridcodeError, match="probability in"):
        quantize_with_dropout(quantizer, z, 1.5)


@given(
    levels=st.lists(st.integers(2, 1001), min_size=1, max_size=12),
    form=st.sampled_from(FORMS),
    sides=st.lists(st.integers(0, 4), max_size=3),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_fsq_with_any_levels_form_rank_dtype_and_channel_position(
    levels: list[int], form: FormName, sides: list[int], dtype: torch.dtype, data: st.DataObject
) -> None:
    if math.prod(levels) > 2**63:
        with pytest.raises(GridcodeError, match="fit no int64"):
            FSQ(levels, form=form)
        return
    if max(levels) > 1000 and form in ("paper", "atanh"):
        with pytest.raises(GridcodeError, match="eps must be below"):
            FSQ(levels, form=form)
        return
    dim = data.draw(st.integers(-len(sides) - 1, len(sides)))
    place = dim % (len(sides) + 1)
    shape = [*sides[:place], len(levels), *sides[place:]]
    quantizer = FSQ(levels, form=form, channel_dim=dim).eval()
    out = quantizer((latents(*shape) * 3).to(dtype))
    assert list(out.codes.shape) == shape
    assert list(out.indices.shape) == sides
    assert torch.equal(quantizer.indices_to_codes(out.indices, dtype=dtype), out.codes)
    if dtype in (torch.float32, torch.float64) or max(levels) <= 256:
        assert torch.equal(quantizer.codes_to_indices(out.codes), out.indices)


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_residual_stages_are_those_of_vector_quantize_pytorch(stages: int) -> None:
    peer = pytest.importorskip("vector_quantize_pytorch").ResidualFSQ(levels=[5, 4, 3], num_quantizers=stages).eval()
    z = latents(100_000, 3)
    codes, indices = peer(z[None])
    ours = ResidualFSQ([5, 4, 3], stages=stages)(z)
    same = (ours.indices == indices[0].view_as(ours.indices)).all(1)
    assert int((~same).sum()) <= 2
    torch.testing.assert_close(ours.codes[same], codes[0][same], rtol=0, atol=1e-5)


def test_residual_prefixes_are_coarser_and_their_error_falls() -> None:
    quantizer, z = ResidualFSQ([5, 3], stages=4), latents(2000, 2)
    indices = quantizer(z).indices
    errors = [
        float((quantizer.indices_to_codes(indices[..., :k]) - quantizer.relax(z)).abs().max()) for k in range(1, 5)
    ]
    bounds = [(1 + 1 / 2) * 3.0**-k + 1e-6 for k in range(1, 5)]
    assert all(error <= bound for error, bound in zip(errors, bounds, strict=True))


def test_residual_stage_dropout_keeps_prefixes_by_sample() -> None:
    torch.manual_seed(0)
    quantizer, z = ResidualFSQ([5, 3], stages=3, stage_dropout=0.6).train(), latents(3000, 7, 2)
    out = quantizer(z)
    dropped = (out.indices == -1).all(1)
    assert torch.equal(dropped, (out.indices == -1).any(1))
    assert bool((dropped[:, 1:] | ~dropped[:, :-1]).all())
    assert float(dropped[:, 2].float().mean()) == pytest.approx(0.6 * 2 / 3, abs=0.04)
    assert torch.equal(quantizer.indices_to_codes(out.indices), out.codes)
    assert not (quantizer.eval()(z).indices == -1).any()


@pytest.mark.parametrize("make", [lambda: ResidualFSQ([2**11], stages=2), lambda: ResidualFSQ([5], stages=0)])
def test_residual_settings_out_of_range(make: Callable[[], Quantizer]) -> None:
    with pytest.raises(GridcodeError, match="quantizer residual"):
        make()


def test_grouped_is_the_same_fsq_on_each_group() -> None:
    z = latents(50, 6)
    grouped, single = GroupedFSQ([8, 5], groups=3)(z), FSQ([8, 5])
    for group in range(3):
        part = single(z[:, 2 * group : 2 * group + 2])
        assert torch.equal(grouped.indices[:, group], part.indices)
        assert torch.equal(grouped.codes[:, 2 * group : 2 * group + 2], part.codes)


def test_lfq_counts_bits_and_its_loss_is_brute_force() -> None:
    z = latents(40, 5).requires_grad_()
    quantizer = LFQ(5, entropy=0.3, diversity=0.7, commitment=0.2, temperature=0.5)
    out = quantizer(z)
    bits = (z > 0).long()
    assert torch.equal(out.indices, (bits * 2 ** torch.arange(5)).sum(1))
    assert torch.equal(out.codes.detach(), bits * 2.0 - 1)
    book = quantizer.indices_to_codes(torch.arange(32)).double().numpy()
    rows = z.detach().double().numpy()
    best = [
        _lfq_loss(rows, book, temperature=0.5 * scale, entropy=0.3, diversity=0.7, commitment=0.2)
        for scale in (1, 0.5, 2)
    ]
    assert min(abs(float(out.loss.detach()) - loss) for loss in best) < 1e-4


def _lfq_loss(
    z: np.ndarray, book: np.ndarray, *, temperature: float, entropy: float, diversity: float, commitment: float
) -> float:
    logits = -((z[:, None] - book[None]) ** 2).sum(-1) / temperature
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    mean = p.mean(0)
    each = -(p * np.log(np.maximum(p, 1e-300))).sum(1).mean()
    whole = -(mean * np.log(np.maximum(mean, 1e-300))).sum()
    commit = ((z - np.where(z > 0, 1.0, -1.0)) ** 2).mean()
    return float(entropy * (each - diversity * whole) + commitment * commit)


def test_bsq_codes_lie_on_the_sphere() -> None:
    out = BSQ(9)(latents(20, 9))
    torch.testing.assert_close(out.codes.norm(dim=1), torch.ones(20))


@pytest.mark.parametrize("make", [LFQ, BSQ])
def test_eighteen_bits_fit_in_memory(make: Callable[[int], Quantizer]) -> None:
    quantizer, z = make(18), latents(2000, 18).requires_grad_()
    out = quantizer(z)
    out.loss.backward()
    assert torch.isfinite(out.loss)
    assert quantizer.codebook_size == 2**18
