"""The vocabulary that a config names, for the tokens of a store."""

from __future__ import annotations

from gridcode.errors import GridcodeError
from gridcode.prior.config import Head, TokenSpace
from gridcode.prior.vocabulary.base import Vocabulary
from gridcode.prior.vocabulary.chain import ChainVocabulary
from gridcode.prior.vocabulary.independent import IndependentVocabulary
from gridcode.prior.vocabulary.joint import JointVocabulary


def make_vocabulary(head: Head, space: TokenSpace, *, width: int) -> Vocabulary:
    """Vectors and head of a prior.

    Args:
        head: Which.
        space: Codebook, digits and classes.
        width: Features per token, D.

    Raises:
        GridcodeError: Digits are wanted of a codebook that has none, or the codebook is too large to be laid out.
    """
    classes = len(space.classes)
    if head == "joint":
        return JointVocabulary(space.codebook_size, classes, width=width)
    if len(space.levels) < 2:
        raise GridcodeError(
            f"the {head} head predicts digits, and this codebook of {space.codebook_size:,} codes has none; use "
            "model.head=joint, or the tokens of a quantizer with levels, such as FSQ"
        )
    if head == "independent":
        return IndependentVocabulary(space.levels, classes, width=width)
    return ChainVocabulary(space.levels, classes, width=width)
