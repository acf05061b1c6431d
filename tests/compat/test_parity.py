"""The compat package against vector-quantize-pytorch: same seed, same weights, same input, same output."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gridcode.compat.vector_quantize_pytorch as ours

peer = pytest.importorskip("vector_quantize_pytorch")

TIES = 2
"""In 10^6 vectors, how many may have another index. About 1 has: their tanh rounds to float32 beside a threshold."""


def pair(kind: str, seed: int = 0, **settings: Any) -> tuple[nn.Module, nn.Module]:
    """The same quantizer of both, drawn from the same seed."""
    made = []
    for module in (peer, ours):
        torch.manual_seed(seed)
        made.append(getattr(module, kind)(**settings))
    theirs, mine = made
    for name, value in theirs.state_dict().items():
        assert torch.equal(mine.state_dict()[name], value)
    return theirs, mine


def gradients(quantizer: nn.Module, x: Tensor, **call: Any) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Output, indices, and the gradients of a fixed random weighting of the output: of x and all parameters."""
    x = x.clone().requires_grad_()
    out, indices = quantizer(x, **call)[:2]
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(out.dtype)
    return out.detach(), indices, list(torch.autograd.grad((out * upstream).sum(), [x, *quantizer.parameters()]))


def assert_same(theirs: nn.Module, mine: nn.Module, x: Tensor, *, atol: float = 1e-5, **call: Any) -> None:
    out, indices, grads = gradients(theirs, x, **call)
    got, got_indices, got_grads = gradients(mine, x, **call)
    assert (got.dtype, got_indices.dtype) == (out.dtype, indices.dtype)
    assert torch.equal(got_indices, indices)
    torch.testing.assert_close(got, out, atol=1e-6, rtol=1e-6 if out.dtype != torch.bfloat16 else 1e-2)
    for grad, expected in zip(got_grads, grads, strict=True):
        torch.testing.assert_close(grad, expected, atol=atol, rtol=1e-5 if x.dtype != torch.bfloat16 else 2e-2)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [8, 8, 8, 6, 5]])
def test_indices_of_millions(levels: list[int], symmetric: bool) -> None:
    theirs, mine = pair("FSQ", levels=levels, preserve_symmetry=symmetric)
    millions, others = 4, 0
    for million in range(millions):  # single millions scatter between 0 and 3
        x = torch.randn(1, 10**6, len(levels), generator=torch.Generator().manual_seed(million))
        (codes, indices), (got_codes, got) = theirs(x), mine(x)
        same = got == indices
        torch.testing.assert_close(got_codes[same], codes[same], atol=1e-6, rtol=0)
        at_threshold = x[~same][None]
        assert (mine(at_threshold - 2e-6)[1] != mine(at_threshold + 2e-6)[1]).all()
        others += at_threshold.shape[1]
    assert others <= TIES * millions


@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [3, 5, 8, 2]])
def test_residual_indices_are_the_same_at_every_stage(levels: list[int]) -> None:
    theirs, mine = pair("ResidualFSQ", levels=levels, num_quantizers=4)
    x = torch.randn(1, 250_000, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        (out, indices), (got, got_indices) = theirs(x), mine(x)
    assert torch.equal(got_indices, indices)
    assert torch.equal(got, out)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 50, 4), {}),
        ((2, 50, 4), {"preserve_symmetry": True}),
        ((2, 50, 4), {"bound_hard_clamp": True}),
        ((2, 50, 4), {"bound_hard_clamp": True, "preserve_symmetry": True}),
        ((2, 50, 8), {"num_codebooks": 2}),
        ((2, 50, 7), {"dim": 7}),
        ((2, 50, 7), {"dim": 7, "num_codebooks": 2, "projection_has_bias": False, "preserve_symmetry": True}),
        ((2, 7, 50), {"dim": 7, "channel_first": True}),
        ((2, 4, 6, 5), {}),
        ((2, 7, 6, 5), {"dim": 7, "num_codebooks": 2}),
        ((2, 4, 2, 3, 5), {"preserve_symmetry": True}),
        ((2, 50, 4), {"orthogonal_rotation": True}),
        ((2, 50, 7), {"dim": 7, "orthogonal_rotation": True, "preserve_symmetry": True}),
        ((2, 50, 4), {"preserve_symmetry": True, "noise_dropout": 0.5}),
        ((2, 50, 4), {"scale": 2.0, "allowed_dtypes": (torch.float64,)}),
    ],
    ids=str,
)
@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [3, 4, 7, 6]])
def test_fsq(levels: list[int], shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    if "orthogonal_rotation" in settings:
        levels = [levels[0]] * 4
    theirs, mine = pair("FSQ", levels=levels, **settings)
    x = 1.5 * torch.randn(shape, generator=torch.Generator().manual_seed(2))
    for quantizer in (theirs.eval(), mine.eval()):
        assert quantizer.codebook_size == torch.tensor(levels).prod()
    assert_same(theirs, mine, x)
    indices = mine(x)[1]
    torch.testing.assert_close(mine.indices_to_codes(indices), theirs.indices_to_codes(indices), atol=1e-6, rtol=1e-6)


def test_noise_is_drawn_alike() -> None:
    theirs, mine = pair("FSQ", levels=[8, 5, 5, 5], preserve_symmetry=True, noise_dropout=0.5)
    x = torch.randn(2, 50, 4)
    found = []
    for quantizer in (theirs.train(), mine.train()):
        torch.manual_seed(4)
        found.append(gradients(quantizer, x))
    (out, indices, (grad,)), (got, got_indices, (got_grad,)) = found
    assert torch.equal(indices, got_indices)
    torch.testing.assert_close(got, out, atol=1e-6, rtol=0)
    torch.testing.assert_close(got_grad, grad, atol=1e-5, rtol=0)
    assert not torch.equal(got, mine.eval()(x)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("symmetric", [False, True])
def test_fsq_in_other_dtypes(dtype: torch.dtype, symmetric: bool) -> None:
    theirs, mine = pair("FSQ", levels=[8, 5, 5, 5], preserve_symmetry=symmetric)
    x = torch.randn(2, 2000, 4).to(dtype)
    (out, indices), (got, got_indices) = theirs(x), mine(x)
    assert got.dtype == out.dtype == dtype
    assert torch.equal(got_indices, indices)
    torch.testing.assert_close(got, out)


def test_fsq_in_a_module_cast_to_bfloat16() -> None:
    theirs, mine = pair("FSQ", levels=[8, 5, 5, 5], dim=6)
    assert_same(theirs.bfloat16(), mine.bfloat16(), torch.randn(2, 50, 6).bfloat16())


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 50, 4), {}),
        ((2, 50, 6), {"dim": 6}),
        ((2, 6, 50), {"dim": 6, "is_channel_first": True}),
        ((2, 6, 5, 7), {"dim": 6, "is_channel_first": True}),
        ((2, 50, 6), {"dim": 6, "quantize_dropout": True}),
        ((2, 50, 4), {"quantize_dropout": True, "quantize_dropout_multiple_of": 2}),
        ((2, 50, 4), {"bound_hard_clamp": False}),
        ((2, 50, 4), {"bound_hard_clamp": False, "soft_clamp_input_value": [1.5, 1.0, 2.0, 1.2]}),
        ((2, 50, 4), {"bound_hard_clamp": False, "soft_clamp_input_value": 1.5}),
    ],
    ids=str,
)
def test_residual(stages: int, shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    theirs, mine = pair("ResidualFSQ", levels=[8, 5, 5, 3], num_quantizers=stages, **settings)
    x = 1.5 * torch.randn(shape, generator=torch.Generator().manual_seed(2))
    # Codes of tanh stages may differ in the last bit; a stage bends it L times as much as the one before.
    atol = 1e-5 if settings.get("bound_hard_clamp", True) else max(1e-5, 6e-8 * 8**stages)
    for seed in range(4 if "quantize_dropout" in settings else 1):
        assert_same(theirs.train(), mine.train(), x, atol=atol, rand_quantize_dropout_fixed_seed=seed)
    assert_same(theirs.eval(), mine.eval(), x, atol=atol)
    if "is_channel_first" not in settings:
        (_, indices, codes), (_, _, got) = theirs(x, return_all_codes=True), mine(x, return_all_codes=True)
        torch.testing.assert_close(got, codes, atol=1e-6, rtol=0)
        decoded = theirs.get_output_from_indices(indices)
        torch.testing.assert_close(mine.get_output_from_indices(indices), decoded, atol=1e-6, rtol=1e-6)


def test_stages_are_dropped_alike_by_pytorchs_seed() -> None:
    theirs, mine = pair(
        "ResidualFSQ", levels=[5, 5], num_quantizers=4, quantize_dropout=True, quantize_dropout_cutoff_index=1
    )
    x, counts = torch.randn(1, 3, 2), set()
    for seed in range(12):
        found = []
        for quantizer in (theirs.train(), mine.train()):
            torch.manual_seed(seed)
            found.append(quantizer(x)[1])
        assert torch.equal(*found)
        assert found[0].dtype == found[1].dtype
        counts.add(int((found[1][0, 0] >= 0).sum()))
    assert counts == {2, 3, 4}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_residual_keeps_the_dtypes(dtype: torch.dtype) -> None:
    theirs, mine = pair("ResidualFSQ", levels=[8, 5], num_quantizers=3)
    x = torch.randn(2, 500, 2).to(dtype)
    (out, indices), (got, got_indices) = theirs(x), mine(x)
    assert got.dtype == out.dtype
    assert torch.equal(got_indices, indices)
    torch.testing.assert_close(got, out, atol=1e-6, rtol=0)


@pytest.mark.parametrize("training", [False, True])
def test_grouped(training: bool) -> None:
    theirs, mine = pair("GroupedResidualFSQ", dim=8, groups=2, levels=[8, 5], num_quantizers=3, quantize_dropout=True)
    x, found = torch.randn(2, 30, 8), []
    for quantizer in (theirs.train(training), mine.train(training)):
        torch.manual_seed(6)
        found.append(quantizer(x, return_all_codes=True))
    (out, indices, codes), (got, got_indices, got_codes) = found
    assert torch.equal(got_indices, indices)
    torch.testing.assert_close(got, out, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(got_codes, codes, atol=1e-6, rtol=0)
    decoded = theirs.get_output_from_indices(indices)
    torch.testing.assert_close(mine.get_output_from_indices(indices), decoded, atol=1e-6, rtol=1e-6)
    expected = theirs.get_codes_from_indices(indices)
    torch.testing.assert_close(mine.get_codes_from_indices(indices), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("symmetric", [False, True])
def test_tables_and_digits(symmetric: bool) -> None:
    theirs, mine = pair("FSQ", levels=[8, 5, 4], preserve_symmetry=symmetric)
    torch.testing.assert_close(mine.implicit_codebook, theirs.implicit_codebook, atol=1e-6, rtol=0)
    assert torch.equal(mine._levels, theirs._levels)
    assert torch.equal(mine._basis, theirs._basis)
    for dtype in (torch.int32, torch.int64):
        indices = torch.arange(160, dtype=dtype).reshape(4, 40)
        got, expected = mine.indices_to_level_indices(indices), theirs.indices_to_level_indices(indices)
        assert torch.equal(got, expected)
        assert got.dtype == expected.dtype
    z = torch.randn(2, 9, 3)
    torch.testing.assert_close(mine.quantize(z), theirs.quantize(z), atol=1e-6, rtol=0)
    assert torch.equal(mine.codes_to_indices(mine.quantize(z)), theirs.codes_to_indices(theirs.quantize(z)))


def test_residual_tables() -> None:
    theirs, mine = pair("ResidualFSQ", levels=[8, 5], num_quantizers=3)
    torch.testing.assert_close(mine.codebooks, theirs.codebooks, atol=1e-6, rtol=0)
    assert torch.equal(mine.scales, theirs.scales)
    assert torch.equal(mine.soft_clamp_input_value, theirs.soft_clamp_input_value)
    assert len(mine.layers) == 3
    theirs, mine = pair("GroupedResidualFSQ", dim=8, groups=2, levels=[8, 5], num_quantizers=3)
    torch.testing.assert_close(mine.codebooks, theirs.codebooks, atol=1e-6, rtol=0)
    assert mine.codebook_size == theirs.codebook_size == 40


@pytest.mark.parametrize(
    ("kind", "settings", "shape"),
    [
        ("FSQ", {"levels": [8, 5]}, (1, 9, 2)),
        ("FSQ", {"levels": [8, 5], "dim": 6, "num_codebooks": 2}, (1, 9, 6)),
        ("FSQ", {"levels": [5, 5], "dim": 6, "orthogonal_rotation": True}, (1, 9, 6)),
        ("ResidualFSQ", {"levels": [8, 5], "num_quantizers": 3}, (1, 9, 2)),
        ("ResidualFSQ", {"levels": [8, 5], "num_quantizers": 3, "dim": 6}, (1, 9, 6)),
        ("ResidualFSQ", {"levels": [5, 5], "num_quantizers": 2, "orthogonal_rotation": True}, (1, 9, 2)),
        ("GroupedResidualFSQ", {"levels": [8, 5], "num_quantizers": 3, "dim": 6, "groups": 2}, (1, 9, 6)),
    ],
    ids=str,
)
def test_checkpoints_load_strictly_both_ways(kind: str, settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    theirs, mine = getattr(peer, kind)(**settings).eval(), getattr(ours, kind)(**settings).eval()
    x = torch.randn(shape)
    mine.load_state_dict(theirs.state_dict(), strict=True)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    torch.testing.assert_close(mine(x)[0], theirs(x)[0], atol=1e-6, rtol=1e-6)
    fresh = getattr(peer, kind)(**settings).eval()
    fresh.load_state_dict(mine.state_dict(), strict=True)
    assert torch.equal(fresh(x)[1], mine(x)[1])
