"""Every recipe is whole: its parts fit each other, and its networks can be built."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from gridcode.cli.shared.dry_run import describe_tokenizer_run
from gridcode.errors import GridcodeError
from gridcode.prior.config import TokenSpace
from gridcode.prior.make import make_prior
from gridcode.recipes import IMAGE_RECIPES, image_recipe, recipe
from gridcode.tokenizer.model import Tokenizer

EVERY = pytest.mark.parametrize("name", IMAGE_RECIPES)


@EVERY
def test_both_stages_can_be_built_for_the_recipes_images(name: str) -> None:
    settings = image_recipe(name)
    run = settings.tokenizer
    with torch.device("meta"):
        tokenizer = Tokenizer(run.model)
        pictures = torch.empty(1, run.data.channels, run.data.size, run.data.size)
        out = tokenizer(pictures)
        grid = run.model.grid(run.data.size, run.data.size)
        levels = tokenizer.quantizer.levels
        space = TokenSpace(tokenizer.codebook_size, grid, ("a",) * 10, "", {}, levels=levels)
        prior = make_prior(settings.prior.model, space)
    assert out.outputs.shape == pictures.shape
    assert out.quantized.indices.shape == (1, *grid)
    assert prior.trunk.positions.num_embeddings == out.quantized.indices.numel() + 1


@EVERY
def test_a_dry_run_counts_the_parameters(name: str) -> None:
    run = image_recipe(name).tokenizer
    with torch.device("meta"):
        expected = sum(p.numel() for p in Tokenizer(run.model).parameters())
    text = describe_tokenizer_run(run)
    counted = re.search(r"^  all +([\d,]+)$", text, re.MULTILINE)
    assert counted is not None
    assert int(counted[1].replace(",", "")) == expected


@EVERY
def test_cadences_fit_the_length(name: str) -> None:
    settings = image_recipe(name)
    for run in (settings.tokenizer, settings.prior):
        loop = run.loop
        assert max(loop.val_every, loop.checkpoint_every) <= loop.steps
        assert name == "scenes_smoke" or run.optim.warmup < loop.steps
        assert loop.steps % loop.checkpoint_every == loop.checkpoint_every % loop.log_every == 0


@pytest.mark.parametrize("family", sorted({name.rpartition("_")[0] for name in IMAGE_RECIPES if "paper" not in name}))
def test_every_family_has_a_laptop_and_a_gpu_size(family: str) -> None:
    laptop, gpu = image_recipe(f"{family}_laptop"), image_recipe(f"{family}_gpu")
    assert laptop.tokenizer.loop.steps < gpu.tokenizer.loop.steps
    assert laptop.prior.model.width < gpu.prior.model.width


@EVERY
def test_a_recipe_says_what_to_expect_and_what_it_costs(name: str) -> None:
    if name == "scenes_smoke":
        pytest.skip("nothing is learned")
    text = IMAGE_RECIPES[name].__doc__ or ""
    assert "expect" in text.lower()
    assert "cost" in text.lower()


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(GridcodeError, match=r"no recipe 'nope'; choose one of scenes_demo, .*imagenette128_gpu"):
        recipe("nope")


def test_recipes_and_settings_do_not_wait_for_torch() -> None:
    program = """
import sys
import gridcode, gridcode.recipes, gridcode.cli.main, gridcode.cli.train
import gridcode.data.config, gridcode.features.config, gridcode.domains.image.config
import gridcode.prior.config, gridcode.domains.image.config, gridcode.training.config
for name in gridcode.recipes.RECIPES:
    gridcode.recipes.recipe(name)
print(*sorted({"torch", "lightning_fabric", "torchmetrics", "pyarrow", "numpy"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
