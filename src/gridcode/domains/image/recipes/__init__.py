"""Full settings of images by name, one file a family of data; each function returns a frozen recipe. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gridcode.domains.image.recipes import codec, imagenet_paper, imagenette128, scenes, small_images
from gridcode.domains.image.recipes.base import Recipe

IMAGE_RECIPES: Final[dict[str, Callable[[], Recipe]]] = {
    "scenes_demo": scenes.demo,
    "scenes_laptop": scenes.laptop,
    "scenes_gpu": scenes.gpu,
    "scenes_smoke": scenes.smoke,
    "fashion_mnist_laptop": small_images.fashion_mnist_laptop,
    "fashion_mnist_gpu": small_images.fashion_mnist_gpu,
    "cifar10_laptop": small_images.cifar10_laptop,
    "cifar10_gpu": small_images.cifar10_gpu,
    "imagenette128_laptop": imagenette128.laptop,
    "imagenette128_gpu": imagenette128.gpu,
    "imagenette128_gan_laptop": imagenette128.gan_laptop,
    "imagenette128_gan_gpu": imagenette128.gan_gpu,
    "codec16_laptop": codec.laptop16,
    "codec16_gpu": codec.gpu16,
    "codec8_laptop": codec.laptop8,
    "codec8_gpu": codec.gpu8,
    "imagenet128_paper": imagenet_paper.at_128,
    "imagenet256_paper": imagenet_paper.at_256,
}
"""Each family at each size, by name."""

__all__ = ["IMAGE_RECIPES", "Recipe"]
