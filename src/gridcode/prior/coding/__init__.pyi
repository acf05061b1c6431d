from .coder import PriorCoder as PriorCoder
from .reference import in_float64 as in_float64
from .windows import decode_windows as decode_windows
from .windows import encode_windows as encode_windows
