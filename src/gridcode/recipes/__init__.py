"""Full settings by name, one file a data family; each function returns a frozen :class:`Recipe`. No torch here."""

from __future__ import annotations

from collections.abc import Callable

from gridcode.errors import GridcodeError
from gridcode.recipes import cifar10, fashion_mnist, imagenet_paper, imagenette128, scenes
from gridcode.recipes.recipe import Recipe

RECIPES: dict[str, Callable[[], Recipe]] = {
    "scenes_demo": scenes.demo,
    "scenes_laptop": scenes.laptop,
    "scenes_gpu": scenes.gpu,
    "scenes_smoke": scenes.smoke,
    "fashion_mnist_laptop": fashion_mnist.laptop,
    "fashion_mnist_gpu": fashion_mnist.gpu,
    "cifar10_laptop": cifar10.laptop,
    "cifar10_gpu": cifar10.gpu,
    "imagenette128_laptop": imagenette128.laptop,
    "imagenette128_gpu": imagenette128.gpu,
    "imagenette128_gan_laptop": imagenette128.gan_laptop,
    "imagenette128_gan_gpu": imagenette128.gan_gpu,
    "imagenet128_paper": imagenet_paper.at_128,
    "imagenet256_paper": imagenet_paper.at_256,
}


def recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        GridcodeError: There is none of that name.

    >>> recipe("scenes_laptop").tokenizer.data.source
    'scenes'
    """
    if name not in RECIPES:
        raise GridcodeError(f"there is no recipe {name!r}; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]()


__all__ = ["RECIPES", "Recipe", "recipe"]
