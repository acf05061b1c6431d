from .config import SamplerConfig as SamplerConfig
from .fill import fill_masked as fill_masked
from .loop import Sampler as Sampler
from .loop import TokenModel as TokenModel
