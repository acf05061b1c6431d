"""Stage I's losses: objects that take pictures, or scores of pictures, and return their terms by name."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from gridcode.tokenizer.losses.adversarial import Hinge as Hinge
    from gridcode.tokenizer.losses.adversarial import NonSaturating as NonSaturating
    from gridcode.tokenizer.losses.adversarial import gradient_penalty as gradient_penalty
    from gridcode.tokenizer.losses.perceptual import PerceptualLoss as PerceptualLoss
    from gridcode.tokenizer.losses.pixel import PixelLoss as PixelLoss

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adversarial": ["Hinge", "NonSaturating", "gradient_penalty"],
        "perceptual": ["PerceptualLoss"],
        "pixel": ["PixelLoss"],
    },
)
