"""Recipes of dense prediction by name. No torch here."""

from __future__ import annotations

from collections.abc import Callable

from gridcode.domains.dense import recipes_scenes as dense_scenes
from gridcode.domains.dense import recipes_uvim as dense_uvim
from gridcode.domains.dense.recipe import DenseRecipe
from gridcode.errors import GridcodeError

DENSE_RECIPES: dict[str, Callable[[], DenseRecipe]] = {
    "scenes_depth_laptop": dense_scenes.depth_laptop,
    "scenes_panoptic_laptop": dense_scenes.panoptic_laptop,
    "scenes_colour_laptop": dense_scenes.colour_laptop,
    "scenes_depth_gpu": dense_scenes.depth_gpu,
    "scenes_panoptic_gpu": dense_scenes.panoptic_gpu,
    "scenes_colour_gpu": dense_scenes.colour_gpu,
    "uvim_depth_paper": dense_uvim.depth,
    "uvim_panoptic_paper": dense_uvim.panoptic,
    "uvim_colour_paper": dense_uvim.colour,
}


def dense_recipe(name: str) -> DenseRecipe:
    """The recipe of a name.

    Raises:
        GridcodeError: There is none of that name.

    >>> dense_recipe("scenes_colour_laptop").tokenizer.data.task
    'colour'
    """
    if name not in DENSE_RECIPES:
        raise GridcodeError(f"there is no dense recipe {name!r}; choose one of {', '.join(DENSE_RECIPES)}")
    return DENSE_RECIPES[name]()
