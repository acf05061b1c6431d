from .config import DensePriorRun as DensePriorRun
from .train import train_dense_prior as train_dense_prior
