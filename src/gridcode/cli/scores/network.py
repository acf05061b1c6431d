"""Where the weights of a protocol's network are, by the options of a command line."""

from __future__ import annotations

from gridcode.errors import GridcodeError
from gridcode.evaluation.protocol import ProtocolName


def weights_of(protocol: ProtocolName, inception: str | None, classifier: str | None) -> str | None:
    """The place that the options name; None of a network that comes in a package.

    Args:
        protocol: Whose network.
        inception: --inception.
        classifier: --classifier.

    Raises:
        GridcodeError: The option that the protocol needs is not given.

    >>> weights_of("fd-lite0", None, None), weights_of("fid-adm", "inception.pth", None)
    (None, 'inception.pth')
    """
    if protocol in ("fd-lite0", "fd-lite2"):
        return None
    option, place = ("classifier", classifier) if protocol == "classifier-fd" else ("inception", inception)
    if place is None:
        raise GridcodeError(f"--protocol {protocol} needs --{option}; see gridcode eval --help")
    return place
