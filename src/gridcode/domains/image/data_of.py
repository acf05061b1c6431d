"""The data settings a tokenizer was trained with, read back from its folder."""

from __future__ import annotations

from gridcode.data.config import CropPolicy, DataConfig
from gridcode.errors import GridcodeError
from gridcode.tokenizer.model import Tokenizer


def data_of(tokenizer: Tokenizer) -> DataConfig:
    """The :class:`DataConfig` in the tokenizer's own record.

    Raises:
        GridcodeError: It has none, or one that this version cannot read.
    """
    try:
        settings = dict(tokenizer.info["data"])
        return DataConfig(**{**settings, "crop": CropPolicy(**settings["crop"])})
    except GridcodeError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise GridcodeError(
            f"the tokenizer does not say what pictures it was trained on ({error}); train it with "
            "gridcode train tokenizer"
        ) from None
