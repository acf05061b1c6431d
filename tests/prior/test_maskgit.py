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
from gridcode.prior.config import MaskGITConfig, MaskingConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.noise import Noise

K = 10
CONFIG = MaskGITConfig(width=16, depth=2, heads=4, mlp=32, dropout=0.1)
MODERN = replace(CONFIG, style="modern")
INDEPENDENT, CHAIN = replace(CONFIG, head="independent"), replace(MODERN, head="chain")


def space(**changes: object) -> TokenSpace:
    values = {"codebook_size": K, "grid": (2, 3), "classes": ("a", "b", "c"), "tokenizer": "0123", "data": {"x": 1}}
    values["levels"] = (5, 2)
    return TokenSpace(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(
    scope="module", params=[CONFIG, MODERN, INDEPENDENT, CHAIN], ids=["maskgit", "modern", "independent", "chain"]
)
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
    config = MaskGITConfig.maskgit()
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


def answers(prior: MaskGIT, sequence: Tensor, labels: Tensor, positions: Tensor) -> Tensor:
    """What the prior says, as logits over the codes (digit heads: every digit's), (M, …)."""
    hidden = prior.hidden(sequence, labels, positions)[: int(positions.sum())]
    if prior.config.head == "chain":
        context = prior.vocabulary.enter(hidden)
        digits = torch.zeros(len(context), 2, dtype=torch.int64)
        return torch.cat(prior.vocabulary.all_logits(context, digits), -1)
    return prior.vocabulary.distribution(hidden).logits


def test_only_the_asked_positions_are_answered_as_if_all_were(prior: MaskGIT) -> None:
    sequence = tokens(mask=prior.mask)
    everything = answers(prior, sequence, LABELS, EVERYWHERE).view(4, 6, -1)
    assert everything.shape[-1] == (K if prior.config.head == "joint" else 7)
    some = torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) < 0.4
    some[1] = False
    torch.testing.assert_close(answers(prior, sequence, LABELS, some), everything[some])


def test_rows_do_not_see_each_other(prior: MaskGIT) -> None:
    sequence = tokens(mask=prior.mask)
    together = answers(prior, sequence, LABELS, EVERYWHERE).view(4, 6, -1)
    for row in range(4):
        part = slice(row, row + 1)
        alone = answers(prior, sequence[part], LABELS[part], EVERYWHERE[part])
        torch.testing.assert_close(alone, together[row])


def test_every_token_sees_every_other_and_the_class(prior: MaskGIT) -> None:
    sequence = torch.arange(6)[None]
    seen: dict[str, Tensor] = {}
    hook = prior.trunk.norm.register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
    found = answers(prior, sequence, torch.tensor([0]), torch.ones(1, 6, dtype=torch.bool))
    hook.remove()
    for position in range(6):
        (gradient,) = torch.autograd.grad(found[position].square().sum(), seen["x"], retain_graph=True)
        assert (gradient[0].abs().sum(-1) > 0).all(), position


def test_a_tokens_place_matters(prior: MaskGIT) -> None:
    sequence = tokens(mask=prior.mask)
    turned = sequence.flip(1)
    found = answers(prior, sequence, LABELS, EVERYWHERE).view(4, 6, -1)
    other = answers(prior, turned, LABELS, EVERYWHERE).view(4, 6, -1).flip(1)
    assert (found - other).abs().amax((1, 2)).min() > 1e-2


def test_no_class_is_the_mask_in_the_classes_place(prior: MaskGIT) -> None:
    vocabulary = prior.vocabulary
    nothing = vocabulary.embed_labels(torch.tensor([-1, 0]))
    assert torch.equal(nothing[0], vocabulary.embed_tokens(torch.tensor(prior.mask)))
    assert not torch.equal(nothing[0], nothing[1])
    sequence = tokens(mask=prior.mask)
    hidden = answers(prior, sequence, torch.full((4,), -1), EVERYWHERE)
    assert (hidden - answers(prior, sequence, torch.full((4,), 0), EVERYWHERE)).abs().max() > 1e-2


def test_training_hides_what_it_asks_for(prior: MaskGIT) -> None:
    truth = torch.randint(0, K, (4, 6), generator=torch.Generator().manual_seed(2))
    asked = tokens() == K + 3
    scores = prior(truth, LABELS, asked)
    hidden = prior.hidden(truth.masked_fill(asked, prior.mask), LABELS, asked)
    expected = prior.vocabulary.score(hidden, truth[asked], label_smoothing=0.0)
    assert torch.equal(scores.losses, expected.losses)
    changed = torch.where(asked, (truth + 1) % K, truth)
    assert torch.equal(prior.hidden(changed.masked_fill(asked, prior.mask), LABELS, asked), hidden)
    if prior.config.head != "joint":  # whose loss is over classes and MASK too
        log_p = prior.vocabulary.distribution(hidden[: int(asked.sum())]).log_prob(truth[asked])
        torch.testing.assert_close(scores.losses, -log_p)


@pytest.mark.parametrize("scale", [0.0, 0.7])
def test_guidance_in_one_batch_is_two_passes(prior: MaskGIT, scale: float) -> None:
    sequence = tokens(mask=prior.mask)
    asked, none = sequence == prior.mask, torch.full_like(LABELS, -1)
    with_class, without = (
        prior.vocabulary.distribution(prior.hidden(sequence, labels, asked)[: int(asked.sum())])
        for labels in (LABELS, none)
    )
    expected = with_class.guide(without, scale)
    found = prior.conditional(LABELS)(sequence, asked, scale)
    drawn = torch.randint(0, K, (int(asked.sum()),), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(found.log_prob(drawn), expected.log_prob(drawn))


def test_without_guidance_one_pass_is_enough(prior: MaskGIT) -> None:
    sequence, sizes = tokens(mask=prior.mask), []
    hook = prior.trunk.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    prior.conditional(LABELS)(sequence, sequence == prior.mask, 0.0)
    prior.conditional(LABELS)(sequence, sequence == prior.mask, 0.5)
    hook.remove()
    assert sizes == [4, 8]


def test_samplers_see_codes_only(prior: MaskGIT) -> None:
    asked = torch.ones(2, 6, dtype=torch.bool)
    answer = prior.conditional(torch.tensor([0, 1]))(torch.full((2, 6), prior.mask), asked, 3.0)
    drawn = answer.sample(temperature=5.0, noise=Noise.of_examples(0, torch.arange(12)))
    assert drawn.max() < K


def test_a_saved_prior_is_the_same_prior(prior: MaskGIT, tmp_path: Path) -> None:
    prior.save_pretrained(tmp_path)
    loaded = MaskGIT.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded.config == prior.config
    assert loaded.space == prior.space
    expected = prior.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())
    sequence = tokens(mask=0)
    assert torch.equal(loaded(sequence, LABELS, EVERYWHERE).losses, prior(sequence, LABELS, EVERYWHERE).losses)
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
        ("space", {"axes": 3}, r"config\.json is not a prior's .*has not 3 axes"),
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
        ({"width": 30}, "a multiple of heads, got width=30, depth=6, heads=4"),
        ({"depth": 0}, "prior sizes must be positive"),
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
