from .config import CloudConfig as CloudConfig
from .config import PointsConfig as PointsConfig
from .config import PointsEvaluationConfig as PointsEvaluationConfig
from .config import PointsLossConfig as PointsLossConfig
from .config import PointsTokenizerRun as PointsTokenizerRun
from .distance import chamfer as chamfer
from .distance import earth_movers_distance as earth_movers_distance
from .domain import PointsDomain as PointsDomain
