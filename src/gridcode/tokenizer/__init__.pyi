from .domain import Domain as Domain
from .domain import Measurement as Measurement
from .domain import Objective as Objective
from .domain import Sources as Sources
from .domain import register_domain as register_domain
from .model import Reconstruction as Reconstruction
from .model import Tokenizer as Tokenizer
from .train import train_tokenizer as train_tokenizer
