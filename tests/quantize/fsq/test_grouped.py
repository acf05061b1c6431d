"""Grouped FSQ: the same FSQ on every group, codebooks beyond 2^63, state, tracing."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.errors import GridcodeError
from gridcode.quantize.fsq.forms import FORMS, FormName
from gridcode.quantize.fsq.grouped import GroupedFSQ
from gridcode.quantize.fsq.quantizer import FSQ


def latents(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@settings(max_examples=60, deadline=None)
@given(
    levels=st.lists(st.integers(2, 40), min_size=1, max_size=4),
    groups=st.integers(1, 4),
    form=st.sampled_from(FORMS),
    shape=st.lists(st.integers(0, 4), max_size=3),
    data=st.data(),
)
def test_every_group_is_fsq_wherever_the_channels_are(
    levels: list[int], groups: int, form: FormName, shape: list[int], data: st.DataObject
) -> None:
    channel_dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
    place = channel_dim % (len(shape) + 1)
    z = latents(*shape[:place], groups * len(levels), *shape[place:])
    quantizer = GroupedFSQ(levels, groups=groups, form=form, channel_dim=channel_dim).eval()
    single = FSQ(levels, form=form, channel_dim=channel_dim).eval()
    out = quantizer(z)
    parts = [single(part) for part in z.chunk(groups, dim=place)]
    assert torch.equal(out.codes, torch.cat([part.codes for part in parts], dim=place))
    assert torch.equal(out.indices, torch.stack([part.indices for part in parts], dim=-1))
    assert torch.equal(quantizer.indices_to_codes(out.indices), out.codes)
    assert torch.equal(quantizer.codes_to_indices(out.codes), out.indices)
    relaxed = torch.cat([single.relax(part) for part in z.chunk(groups, dim=place)], dim=place)
    torch.testing.assert_close(quantizer.relax(z), relaxed, rtol=0, atol=0)


def test_gradient_is_that_of_fsq() -> None:
    z, upstream = latents(5, 6, 4).requires_grad_(), latents(5, 6, 4).flip(0)
    GroupedFSQ([8, 5], groups=3, channel_dim=1)(z).codes.backward(upstream)
    grouped, z.grad = z.grad, None
    FSQ([8, 5] * 3, channel_dim=1)(z).codes.backward(upstream)
    assert grouped is not None
    torch.testing.assert_close(grouped, z.grad, rtol=0, atol=0)


def test_a_book_beyond_int64_has_several_indices() -> None:
    with pytest.raises(GridcodeError, match="fit no int64"):
        FSQ([8] * 42)
    quantizer, z = GroupedFSQ([8] * 21, groups=2), 2 * latents(30, 42)
    out = quantizer(z)
    assert quantizer.codebook_size == 2**63
    assert (quantizer.channels, quantizer.levels, quantizer.index_shape) == (42, (8,) * 21, (2,))
    assert torch.equal(quantizer.indices_to_codes(out.indices), out.codes)
    assert torch.equal(quantizer.codes_to_indices(out.codes.to(torch.bfloat16)), out.indices)


@pytest.mark.parametrize("groups", [0, -1, 1.0, True, "2"])
def test_groups_must_be_a_whole_number(groups: object) -> None:
    with pytest.raises(GridcodeError, match=r"GroupedFSQ: groups is .*; it must be a whole number from 1"):
        GroupedFSQ([8, 5], groups=groups)  # type: ignore[arg-type]


def test_wrong_shapes_and_values_are_refused() -> None:
    quantizer = GroupedFSQ([8, 5], groups=3)
    with pytest.raises(GridcodeError, match=r"GroupedFSQ: latents of shape \(2, 5\) have 5 channels .* needs 6"):
        quantizer(torch.zeros(2, 5))
    with pytest.raises(GridcodeError, match=r"GroupedFSQ: codes of shape \(2, 7\) have 7 channels"):
        quantizer.codes_to_indices(torch.zeros(2, 7))
    with pytest.raises(GridcodeError, match=r"indices of shape \(4, 2\) do not end in 3 groups"):
        quantizer.indices_to_codes(torch.zeros(4, 2, dtype=torch.int64))
    with pytest.raises(GridcodeError, match="saw index 40"):
        quantizer.indices_to_codes(torch.tensor([0, 1, 40]))
    with pytest.raises(GridcodeError, match="1 of 12 latents are NaN"):
        quantizer(torch.tensor([[0.0] * 6, [0.0] * 5 + [float("nan")]]))


def test_state_names_groups_and_levels() -> None:
    quantizer = GroupedFSQ([8, 5], groups=3)
    twin = GroupedFSQ([8, 5], groups=3)
    twin.load_state_dict(quantizer.state_dict())
    with pytest.raises(GridcodeError, match=r"saved with name 'grouped', groups 3, but this quantizer has .* groups 2"):
        GroupedFSQ([8, 5], groups=2).load_state_dict(quantizer.state_dict())
    with pytest.raises(GridcodeError, match=r"levels \[8, 5\].* but this quantizer has .*levels \[5, 8\]"):
        GroupedFSQ([5, 8], groups=3).load_state_dict(quantizer.state_dict())
    with pytest.raises(GridcodeError, match=r"form 'paper'.* this quantizer has .*form 'symmetric'"):
        GroupedFSQ([8, 5], groups=3, form="symmetric").load_state_dict(quantizer.state_dict())
    assert quantizer.spec() == {"name": "grouped", "form": "paper", "levels": [8, 5], "eps": 1e-3, "groups": 3}


def test_copies_and_the_meta_device_keep_the_results() -> None:
    quantizer, z = GroupedFSQ([8, 5], groups=3), latents(20, 6)
    with torch.device("meta"):
        meta = GroupedFSQ([8, 5], groups=3)
        assert meta(torch.randn(2, 6)).indices.shape == (2, 3)
    for twin in (copy.deepcopy(quantizer), meta.to_empty(device="cpu")):
        assert torch.equal(twin(z).indices, quantizer(z).indices)


def test_whole_graph_forward_and_backward() -> None:
    quantizer = GroupedFSQ([8, 5], groups=3, channel_dim=1)
    compiled = torch.compile(quantizer, fullgraph=True, backend="aot_eager")
    results = []
    for module in (quantizer, compiled):
        leaf = latents(2, 6, 5).requires_grad_()
        out = module(leaf)
        out.codes.square().sum().backward()
        results.append((out.codes.detach(), out.indices, leaf.grad))
    for plain, traced in zip(*results, strict=True):
        torch.testing.assert_close(traced, plain, rtol=0, atol=0)


def test_dither_is_drawn_for_each_sample_and_not_for_each_group() -> None:
    torch.manual_seed(0)
    quantizer = GroupedFSQ([8, 5], groups=3, form="dithered", channel_dim=1).train()
    z = latents(200, 6, 4)
    rounded = (quantizer(z).codes == quantizer.eval()(z).codes).flatten(1)
    assert 20 < int(rounded.all(1).sum()) < 90  # a quarter of the samples; the others differ in every group
    assert not (rounded.unflatten(1, (3, 8)).all(2).any(1) & ~rounded.all(1)).any()


def test_export_leaves_the_batch_free() -> None:
    class RoundTrip(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.quantizer = GroupedFSQ([8, 5], groups=2).eval()

        def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            indices = self.quantizer(z).indices
            return indices, self.quantizer.indices_to_codes(indices)

    program = torch.export.export(RoundTrip(), (latents(9, 4),), dynamic_shapes={"z": {0: torch.export.Dim("n")}})
    for traced, plain in zip(program.module()(latents(31, 4)), RoundTrip()(latents(31, 4)), strict=True):
        assert torch.equal(traced, plain)
