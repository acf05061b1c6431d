from .finite_scalar_quantization import FSQ as FSQ
from .residual_fsq import GroupedResidualFSQ as GroupedResidualFSQ
from .residual_fsq import ResidualFSQ as ResidualFSQ
