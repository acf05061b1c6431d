from .config import VideoConfig as VideoConfig
from .config import VideoEvaluationConfig as VideoEvaluationConfig
from .config import VideoLossConfig as VideoLossConfig
from .config import VideoTokenizerConfig as VideoTokenizerConfig
from .config import VideoTokenizerRun as VideoTokenizerRun
from .continuation import continued as continued
from .domain import VideoDomain as VideoDomain
from .measure import difference_error as difference_error
