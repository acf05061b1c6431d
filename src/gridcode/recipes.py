"""The recipes of every kind of data in one table: full settings of both stages, by name. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from gridcode.domains.audio.recipes import AUDIO_RECIPES, AudioRecipe
from gridcode.domains.dense.recipes import DENSE_RECIPES, DenseRecipe
from gridcode.domains.image.recipes import IMAGE_RECIPES, Recipe
from gridcode.errors import GridcodeError

AnyRecipe: TypeAlias = Recipe | DenseRecipe | AudioRecipe
"""A recipe of any kind of data; its ``kind`` says which."""

RECIPES: Final[dict[str, Callable[[], AnyRecipe]]] = {**IMAGE_RECIPES, **DENSE_RECIPES, **AUDIO_RECIPES}
"""Every kind of data."""


def recipe(name: str) -> AnyRecipe:
    """The recipe of a name.

    Raises:
        GridcodeError: There is none of that name.

    >>> recipe("scenes_laptop").kind, recipe("scenes_depth_laptop").kind
    ('image', 'dense')
    """
    if name not in RECIPES:
        raise GridcodeError(f"there is no recipe {name!r}; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]()


def image_recipe(name: str) -> Recipe:
    """The recipe of a name, for pictures.

    Raises:
        GridcodeError: There is none of that name, or it is for another kind of data.

    >>> image_recipe("scenes_laptop").tokenizer.data.size
    32
    """
    found = recipe(name)
    if not isinstance(found, Recipe):
        raise GridcodeError(f"{name} is no recipe of pictures; choose one of {', '.join(IMAGE_RECIPES)}")
    return found


def dense_recipe(name: str) -> DenseRecipe:
    """The recipe of a name, for dense prediction.

    Raises:
        GridcodeError: There is none of that name, or it is for another kind of data.

    >>> dense_recipe("scenes_colour_laptop").tokenizer.data.task
    'colour'
    """
    found = recipe(name)
    if not isinstance(found, DenseRecipe):
        raise GridcodeError(f"{name} is no recipe of dense prediction; choose one of {', '.join(DENSE_RECIPES)}")
    return found


def audio_recipe(name: str) -> AudioRecipe:
    """The recipe of a name, for sounds.

    Raises:
        GridcodeError: There is none of that name, or it is for another kind of data.

    >>> audio_recipe("fsdd_laptop").tokenizer.data.rate
    8000
    """
    found = recipe(name)
    if not isinstance(found, AudioRecipe):
        raise GridcodeError(f"{name} is no recipe of sounds; choose one of {', '.join(AUDIO_RECIPES)}")
    return found


__all__ = [
    "AUDIO_RECIPES",
    "DENSE_RECIPES",
    "IMAGE_RECIPES",
    "RECIPES",
    "AnyRecipe",
    "AudioRecipe",
    "DenseRecipe",
    "Recipe",
    "audio_recipe",
    "dense_recipe",
    "image_recipe",
    "recipe",
]
