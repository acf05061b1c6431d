from .config import TextConfig as TextConfig
from .config import TextEvaluationConfig as TextEvaluationConfig
from .config import TextTokenizerConfig as TextTokenizerConfig
from .config import TextTokenizerRun as TextTokenizerRun
from .domain import TextDomain as TextDomain
from .files import reconstruct_text as reconstruct_text
