"""Nothing of a frame reaches an earlier one; the first frame is coded alone; factors of space and time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gridcode.domains.video.config import VideoConfig, VideoTokenizerConfig, VideoTokenizerRun
from gridcode.domains.video.domain import VideoDomain
from gridcode.domains.video.networks import CausalConv, DoubleTime
from gridcode.errors import GridcodeError
from gridcode.quantize.config import FSQConfig, GroupedFSQConfig
from gridcode.tokenizer.model import Tokenizer

SMALL = VideoTokenizerConfig(quantizer=FSQConfig(levels=(8, 5)), patch=2, widths=(8, 8, 8))


def shaken(module: nn.Module) -> nn.Module:
    """Every weight moved, so that nothing is 0 from the start."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return module.eval()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    found = shaken(Tokenizer(SMALL, VideoDomain(8.0)))
    assert isinstance(found, Tokenizer)
    return found


def clips(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, frames, 16, 24, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_latents_of_a_frame_depend_on_it_and_those_before_alone(tokenizer: Tokenizer) -> None:
    whole = clips(9).requires_grad_()
    latents = tokenizer.latents(whole)
    assert latents.shape == (2, 2, 3, 2, 3)
    for place in range(3):
        (gradient,) = torch.autograd.grad(latents[:, :, place].square().sum(), whole, retain_graph=True)
        reached = gradient.abs().amax((0, 1, 3, 4)) > 0
        assert reached.tolist() == [frame <= 4 * place for frame in range(9)]


def test_later_frames_do_not_change_earlier_tokens(tokenizer: Tokenizer) -> None:
    whole, other = clips(9), clips(9, seed=1)
    other[:, :, :5] = whole[:, :, :5]
    tokens, others = tokenizer.encode(whole), tokenizer.encode(other)
    assert torch.equal(tokens[:, :2], others[:, :2])
    assert not torch.equal(tokens[:, 2], others[:, 2])
    # So the first frames, and the first frame, are coded as if they were all there is.
    assert torch.equal(tokens[:, :2], tokenizer.encode(whole[:, :, :5]))
    assert torch.equal(tokens[:, :1], tokenizer.encode(whole[:, :, :1]))


def test_later_tokens_do_not_change_earlier_frames(tokenizer: Tokenizer) -> None:
    tokens = torch.randint(40, (2, 3, 2, 3), generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    other[:, 2] = (other[:, 2] + 7) % 40
    frames, others = tokenizer.decode(tokens), tokenizer.decode(other)
    assert frames.shape == (2, 3, 9, 16, 24)
    torch.testing.assert_close(frames[:, :, :5], others[:, :, :5])
    assert (frames[:, :, 5:] - others[:, :, 5:]).abs().amax((0, 1, 3, 4)).min() > 1e-3
    torch.testing.assert_close(tokenizer.decode(tokens[:, :1]), frames[:, :, :1])


def test_time_is_halved_and_doubled_around_the_first_frame() -> None:
    halve, double = CausalConv(1, stride=2), DoubleTime(1)
    for layer in (halve, double.over):
        nn.init.zeros_(layer.bias)
        layer.weight.data = torch.tensor([0.0, 0.0, 1.0]).view(1, 1, 3, 1)
    frames = torch.arange(9.0).view(1, 1, 9, 1, 1)
    assert halve(frames).flatten().tolist() == [0, 2, 4, 6, 8]
    assert double(frames[:, :, :5]).flatten().tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    halve.weight.data = torch.ones(1, 1, 3, 1)  # before the first frame lies itself
    assert halve(frames).flatten().tolist() == [0, 3, 9, 15, 21]


@pytest.mark.parametrize(("changes", "shape", "grid"), [
    ({}, (17, 32, 32), (5, 4, 4)),
    ({"halvings": 0}, (7, 32, 64), (7, 4, 8)),
    ({"patch": 4, "widths": (8, 8), "halvings": 2}, (5, 16, 8), (2, 2, 1)),
    ({"quantizer": GroupedFSQConfig((8, 5), 2)}, (5, 16, 16), (2, 2, 2, 2)),
])  # fmt: skip
def test_the_grid_is_that_of_the_tokens(changes: dict, shape: tuple[int, ...], grid: tuple[int, ...]) -> None:
    config = VideoTokenizerConfig(**{"patch": 2, "widths": (8, 8, 8), **changes})
    tokenizer = Tokenizer(config, VideoDomain(8.0)).eval()
    tokens = tokenizer.encode(torch.zeros(1, 3, *shape))
    assert tokens.shape == (1, *tokenizer.token_grid(*shape)) == (1, *grid)
    assert tokenizer.decode(tokens).shape == (1, 3, *shape)


def test_what_does_not_fit_is_refused(tokenizer: Tokenizer) -> None:
    for given, said in (
        (torch.zeros(2, 3, 16, 16), r"takes clips \(B, 3, T, H, W\), got shape \(2, 3, 16, 16\)"),
        (torch.zeros(2, 1, 5, 16, 16), r"takes clips \(B, 3, T, H, W\)"),
        (torch.zeros(1, 3, 6, 16, 16), "one frame more than a multiple of 4, got 6; set data.frames=5"),
        (torch.zeros(1, 3, 5, 16, 20), "multiples of 8, got 16x20; set data.size=16"),
        (torch.zeros(1, 3, 5, 16, 16, dtype=torch.uint8), "floats in .-1, 1., got torch.uint8"),
        (torch.full((1, 3, 5, 16, 16), 3.0), "clips must be in .-1, 1., got 3 to 3"),
    ):
        with pytest.raises(GridcodeError, match=said):
            tokenizer.encode(given)
    for make, said in (
        (lambda: VideoTokenizerConfig(widths=(8,)), "model.halvings 2 needs as many levels"),
        (lambda: VideoTokenizerConfig(widths=()), "model.widths must be positive"),
        (lambda: VideoTokenizerRun(data=VideoConfig(frames=16)), "data.frames=17"),
        (
            lambda: VideoTokenizerRun(data=VideoConfig(crop=6)),
            "data.crop must be one frame more than a multiple of 4, got 6",
        ),
        (lambda: VideoConfig(crop=0), "data.crop must be at least 1, got 0"),
        (lambda: VideoConfig(source=""), "data.source is empty"),
        (lambda: VideoConfig(fps=0.0), "data.fps must be above 0 and finite, not 0.0"),
        (lambda: VideoConfig(fps=float("inf")), "data.fps must be above 0 and finite, not inf"),
        (lambda: VideoConfig(objects=4), "data.objects must be 1, 2 or 3"),
        (lambda: VideoConfig(fewer="drop"), "data.fewer must be one of repeat, refuse"),
        (lambda: VideoConfig(val_fraction=1.0), "data.val_fraction"),
    ):
        with pytest.raises(GridcodeError, match=said):
            make()
