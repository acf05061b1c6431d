"""The recipes of every kind of data in one table: full settings of both stages, by name. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from gridcode.domains.audio.config import AudioTokenizerRun
from gridcode.domains.audio.recipes import AUDIO_RECIPES, AudioRecipe
from gridcode.domains.dense.config import LabelTokenizerRun
from gridcode.domains.dense.recipes import DENSE_RECIPES, DenseRecipe
from gridcode.domains.image.config import TokenizerRun
from gridcode.domains.image.recipes import IMAGE_RECIPES, Recipe
from gridcode.domains.points.config import PointsTokenizerRun
from gridcode.domains.points.recipes import POINTS_RECIPES, PointsRecipe
from gridcode.domains.text.config import TextTokenizerRun
from gridcode.domains.text.recipes import TEXT_RECIPES, TextRecipe
from gridcode.domains.video.config import VideoTokenizerRun
from gridcode.domains.video.recipes import VIDEO_RECIPES, VideoRecipe
from gridcode.errors import GridcodeError

ClassRecipe: TypeAlias = Recipe | AudioRecipe | PointsRecipe | TextRecipe | VideoRecipe
"""A recipe whose prior is given a class, or nothing."""
AnyRecipe: TypeAlias = ClassRecipe | DenseRecipe
"""A recipe of any kind of data; its ``kind`` says which."""
AnyTokenizerRun: TypeAlias = (
    TokenizerRun | LabelTokenizerRun | AudioTokenizerRun | PointsTokenizerRun | TextTokenizerRun | VideoTokenizerRun
)
"""Stage I's settings, of any kind of data."""

OF_KIND: Final[Mapping[str, Mapping[str, Callable[[], AnyRecipe]]]] = {
    "image": IMAGE_RECIPES,
    "dense": DENSE_RECIPES,
    "audio": AUDIO_RECIPES,
    "points": POINTS_RECIPES,
    "text": TEXT_RECIPES,
    "video": VIDEO_RECIPES,
}
"""The recipes of each kind of data."""

RECIPES: Final[dict[str, Callable[[], AnyRecipe]]] = {
    name: make for recipes in OF_KIND.values() for name, make in recipes.items()
}
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
    """The recipe of a name, for images.

    Raises:
        GridcodeError: There is none of that name, or it is for another kind of data.

    >>> image_recipe("scenes_laptop").tokenizer.data.size
    32
    """
    found = recipe(name)
    if not isinstance(found, Recipe):
        raise GridcodeError(f"{name} is no recipe of images; choose one of {', '.join(IMAGE_RECIPES)}")
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


def recipe_of_kind(kind: str, name: str, *, nouns: str) -> AnyRecipe:
    """The recipe of a name, for one kind of data.

    Args:
        kind: By the name of its folder in :mod:`gridcode.domains`.
        name: The recipe's.
        nouns: What the kind's examples are called in an error.

    Raises:
        GridcodeError: There is none of that name, or it is for another kind of data.

    >>> recipe_of_kind("audio", "fsdd_laptop", nouns="sounds").evaluation.guidance
    1.0
    """
    found = recipe(name)
    if found.kind != kind:
        raise GridcodeError(f"{name} is no recipe of {nouns}; choose one of {', '.join(OF_KIND[kind])}")
    return found


__all__ = [
    "AUDIO_RECIPES",
    "DENSE_RECIPES",
    "IMAGE_RECIPES",
    "OF_KIND",
    "POINTS_RECIPES",
    "RECIPES",
    "TEXT_RECIPES",
    "VIDEO_RECIPES",
    "AnyRecipe",
    "AnyTokenizerRun",
    "AudioRecipe",
    "ClassRecipe",
    "DenseRecipe",
    "PointsRecipe",
    "Recipe",
    "TextRecipe",
    "VideoRecipe",
    "dense_recipe",
    "image_recipe",
    "recipe",
    "recipe_of_kind",
]
