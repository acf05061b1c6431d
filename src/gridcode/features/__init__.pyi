from .classifier import Classifier as Classifier
from .classifier import load_classifier as load_classifier
from .classifier import save_classifier as save_classifier
from .config import ClassifierConfig as ClassifierConfig
from .train import accuracy as accuracy
from .train import train_classifier as train_classifier
