from .check import Agreement as Agreement
from .check import check_conversion as check_conversion
from .tokenizer import Conversion as Conversion
from .tokenizer import convert_tokenizer as convert_tokenizer
