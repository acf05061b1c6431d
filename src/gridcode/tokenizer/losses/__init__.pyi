from .adversarial import Hinge as Hinge
from .adversarial import NonSaturating as NonSaturating
from .adversarial import gradient_penalty as gradient_penalty
from .perceptual import PerceptualLoss as PerceptualLoss
from .pixel import PixelLoss as PixelLoss
