"""Every dense recipe is whole: its stages fit each other and can be built, and a dry run counts them."""

from __future__ import annotations

import re

import pytest
import torch

from gridcode.cli.shared.dry_run import describe_dense_run, stage_two_parameters
from gridcode.domains.dense.domain import DenseDomain
from gridcode.errors import GridcodeError
from gridcode.recipes import DENSE_RECIPES, dense_recipe
from gridcode.tokenizer.model import Tokenizer

EVERY = pytest.mark.parametrize("name", DENSE_RECIPES)


@EVERY
def test_a_dry_run_counts_the_parameters_of_both_stages(name: str) -> None:
    run = dense_recipe(name).run
    with torch.device("meta"):
        tokenizer = Tokenizer(run.tokenizer.model, DenseDomain.of_settings(run.data))
    counted = re.findall(r"^  all +([\d,]+)$", describe_dense_run(run), re.MULTILINE)
    expected = [sum(p.numel() for p in tokenizer.parameters()), stage_two_parameters(run)["all"]]
    assert [int(count.replace(",", "")) for count in counted] == expected
    assert run.data.task in name


@EVERY
def test_both_stages_see_the_same_images(name: str) -> None:
    recipe = dense_recipe(name)
    for field in ("task", "source", "height", "width", "train_count", "val_count"):
        assert getattr(recipe.prior.data, field) == getattr(recipe.tokenizer.data, field), field
    assert recipe.run.stage_two().data == recipe.tokenizer.data


@EVERY
def test_cadences_fit_the_length(name: str) -> None:
    recipe = dense_recipe(name)
    for run in (recipe.tokenizer, recipe.prior):
        assert max(run.loop.val_every, run.loop.checkpoint_every) <= run.loop.steps
        assert run.optim.warmup < run.loop.steps


@pytest.mark.parametrize("task", ["depth", "panoptic", "colour"])
def test_the_papers_stage_two_has_the_papers_size(task: str) -> None:
    # ViT-L/16 has 303.3 M parameters without a head at 224 px; two stacks of 24 layers, the decoder's with
    # cross-attention (4 D^2 more a layer), are 24 (12 + 16) D^2 = 705 M.
    counts = stage_two_parameters(dense_recipe(f"uvim_{task}_paper").run)
    assert counts["all"] == pytest.approx(24 * 28 * 1024**2, rel=0.02)


def test_an_unknown_recipe_is_refused_with_the_choices() -> None:
    with pytest.raises(
        GridcodeError, match="scenes_laptop is no recipe of dense prediction; choose one of scenes_depth_lap"
    ):
        dense_recipe("scenes_laptop")
