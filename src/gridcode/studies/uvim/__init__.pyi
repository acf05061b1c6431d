from .config import UvimConfig as UvimConfig
from .study import UvimStudy as UvimStudy
