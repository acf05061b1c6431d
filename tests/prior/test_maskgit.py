"""The masked transformer: the paper's size, and what its answers may and may not depend on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gridcode.errors import GridcodeError
from gridcode.hub import save_model
from gridcode.prior.config import MaskGITConfig, MaskingConfig
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.space import TokenSpace

K = 10
CONFIG = MaskGITConfig(width=16, depth=2, heads=4, mlp=32, dropout=0.1)
MODERN = replace(CONFIG, style="modern")


def space(**changes: object) -> TokenSpace:
    values = {"codebook_size": K, "grid": (2, 3), "classes": ("a", "b", "c"), "tokenizer": "0123", "data": {"x": 1}}
    return TokenSpace(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=[CONFIG, MODERN], ids=["maskgit", "modern"])
def prior(request: pytest.FixtureRequest) -> MaskGIT:
    torch.manual_seed(0)
    prior = MaskGIT(request.param, space()).eval()
    # Far from its small initial weights, so that differences show.
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return prior


def tokens(rows: int = 4, *, seed: int = 0, mask: int = K + 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randint(0, K, (rows, 6), generator=generator)
    return found.masked_fill(torch.rand(rows, 6, generator=generator) < 0.5, mask)


EVERYWHERE = torch.ones(4, 6, dtype=torch.bool)
LABELS = torch.tensor([0, 1, 2, -1])


def test_the_papers_settings_give_the_papers_parameters() -> None:
    config = MaskGITConfig(width=768, depth=24, heads=16, mlp=3072)
    classes = tuple(str(number) for number in range(1000))
    with torch.device("meta"):
        prior = MaskGIT(config, space(codebook_size=1024, grid=(16, 16), classes=classes))
    count = sum(parameter.numel() for parameter in prior.parameters())
    assert f"{count / 1e6:.2f}M" == "172.46M"


def test_the_modern_style_has_about_as_many_parameters() -> None:
    counts = []
    for style in ("maskgit", "modern"):
        config = MaskGITConfig(width=768, depth=24, heads=16, mlp=3072, style=style)
        with torch.device("meta"):
            prior = MaskGIT(config, space(codebook_size=1024, grid=(16, 16)))
        counts.append(sum(parameter.numel() for parameter in prior.parameters()))
    assert counts[1] == pytest.approx(counts[0], rel=0.01)


def test_only_the_asked_positions_are_answered_as_if_all_were(prior: MaskGIT) -> None:
    sequence = tokens()
    everything = prior.logits(sequence, LABELS, EVERYWHERE).view(4, 6, -1)
    assert everything.shape[-1] == K + 3 + 1
    some = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) < 0.4
    some[1] = False
    torch.testing.assert_close(prior.logits(sequence, LABELS, some), everything[some])


def test_rows_do_not_see_each_other(prior: MaskGIT) -> None:
    sequence = tokens()
    together = prior.logits(sequence, LABELS, EVERYWHERE).view(4, 6, -1)
    for row in range(4):
        part = slice(row, row + 1)
        alone = prior.logits(sequence[part], LABELS[part], EVERYWHERE[part])
        torch.testing.assert_close(alone, together[row])


def test_every_token_sees_every_other_and_the_class(prior: MaskGIT) -> None:
    sequence = torch.arange(6)[None]
    seen: dict[str, Tensor] = {}
    hook = prior.trunk.norm.register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
    answers = prior.logits(sequence, torch.tensor([0]), torch.ones(1, 6, dtype=torch.bool))
    hook.remove()
    for position in range(6):
        (gradient,) = torch.autograd.grad(answers[position].square().sum(), seen["x"], retain_graph=True)
        assert (gradient[0].abs().sum(-1) > 0).all(), position


def test_a_tokens_place_matters(prior: MaskGIT) -> None:
    sequence = tokens()
    turned = sequence.flip(1)
    answers = prior.logits(sequence, LABELS, EVERYWHERE).view(4, 6, -1)
    other = prior.logits(turned, LABELS, EVERYWHERE).view(4, 6, -1).flip(1)
    assert (answers - other).abs().amax((1, 2)).min() > 1e-2


def test_no_class_is_the_mask_token_in_the_classes_place(prior: MaskGIT) -> None:
    sequence = tokens()
    hidden = prior.logits(sequence, torch.full((4,), -1), EVERYWHERE)
    # Class number c is token K + c, so the mask would be class number `classes`.
    assert prior.mask == K + 3
    as_mask = prior.logits(sequence, torch.full((4,), 3), EVERYWHERE)
    assert torch.equal(hidden, as_mask)
    assert (hidden - prior.logits(sequence, torch.full((4,), 0), EVERYWHERE)).abs().max() > 1e-2


def test_forward_is_logits(prior: MaskGIT) -> None:
    sequence = tokens()
    assert torch.equal(prior(sequence, LABELS, EVERYWHERE), prior.logits(sequence, LABELS, EVERYWHERE))


def test_guidance_in_one_batch_is_two_passes(prior: MaskGIT) -> None:
    sequence, asked = tokens(), tokens() == prior.mask
    with_class = prior.logits(sequence, LABELS, asked)[:, :K]
    without = prior.logits(sequence, torch.full_like(LABELS, -1), asked)[:, :K]
    guided = prior.conditional(LABELS)(sequence, asked, 0.7)
    torch.testing.assert_close(guided.logits, with_class + 0.7 * (with_class - without))  # type: ignore[attr-defined]


def test_without_guidance_one_pass_is_enough(prior: MaskGIT) -> None:
    sequence, asked = tokens(), tokens() == prior.mask
    sizes = []
    hook = prior.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    plain = prior.conditional(LABELS)(sequence, asked, 0.0)
    hook.remove()
    assert sizes == [4]
    torch.testing.assert_close(plain.logits, prior.logits(sequence, LABELS, asked)[:, :K])  # type: ignore[attr-defined]


def test_samplers_see_codes_only(prior: MaskGIT) -> None:
    asked = torch.ones(2, 6, dtype=torch.bool)
    answer = prior.conditional(torch.tensor([0, 1]))(torch.full((2, 6), prior.mask), asked, 3.0)
    drawn = answer.sample(temperature=5.0, generator=torch.Generator().manual_seed(0))
    assert drawn.max() < K


def test_a_saved_prior_is_the_same_prior(prior: MaskGIT, tmp_path: Path) -> None:
    prior.save_pretrained(tmp_path)
    loaded = MaskGIT.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded.config == prior.config
    assert loaded.space == prior.space
    expected = prior.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    sequence = tokens()
    assert torch.equal(loaded(sequence, LABELS, EVERYWHERE), prior(sequence, LABELS, EVERYWHERE))
    card = (tmp_path / "README.md").read_text()
    for fact in ("`0123`", "2x3 of 10 codes", "a, b, c", f"{sum(p.numel() for p in prior.parameters()):,}"):
        assert fact in card


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "m", tensors={"w": torch.zeros(1)}, config={"kind": "tokenizer"}, card="")
    with pytest.raises(GridcodeError, match="holds a 'tokenizer', not a 'prior'"):
        MaskGIT.from_pretrained(tmp_path / "m")


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("model", {"depth": 1}, "unknown"),
        ("space", {"grid": [3, 3]}, r"of another shape \(the first: trunk\.positions\.weight\)"),
        ("space", {"classes": []}, "of another shape"),
        ("model", {"future": 1}, r"config\.json is not a prior's .*future"),
        ("space", {"future": 1}, r"config\.json is not a prior's .*future"),
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_one_line(
    prior: MaskGIT, tmp_path: Path, part: str, change: dict[str, object], message: str
) -> None:
    prior.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config[part] |= change
    path.write_text(json.dumps(config))
    with pytest.raises(GridcodeError, match=message) as caught:
        MaskGIT.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 30}, "positive multiple of heads, got 30 and 4"),
        ({"depth": 0}, "positive multiple of heads"),
        ({"width": 24, "style": "modern"}, r"a multiple of 4, not 24 / 4 = 6"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1\.0"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(GridcodeError, match=message):
        MaskGITConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["min_masked", "label_dropout", "label_smoothing"])
def test_shares_lie_in_0_to_1(name: str) -> None:
    for value in (-0.1, 1.0):
        with pytest.raises(GridcodeError, match=rf"masking\.{name} must be in \[0, 1\), got {value}"):
            MaskingConfig(**{name: value})
