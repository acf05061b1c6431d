"""The command line's door: finds the verb, runs it, turns every error into one line.

A verb is a module of this folder with ``run(arguments: list[str]) -> None``; it is imported only when it is
asked for, so ``gridcode --help`` never waits for torch.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from gridcode.errors import GridcodeError

VERBS = {
    "demo": "train, tokenize, generate and report on built-in scenes, in five minutes",
    "train": "train a tokenizer or a prior: gridcode train tokenizer | prior RECIPE --out DIR",
    "tokenize": "turn images, label maps, sounds, point clouds, texts or clips into a token store",
    "sample": "make new images, sounds, point clouds, texts or clips",
    "predict": "write depth, panoptic segments or colours of images",
    "edit": "draw a part of an image again, or more of it",
    "reconstruct": "send images, sounds, point clouds, texts or clips through a tokenizer and back",
    "eval": "measure a tokenizer, and a prior, and write a report",
    "dense": "short for train, predict and eval of dense prediction: gridcode dense train | predict | eval",
    "study": "run an experiment of the paper: gridcode study uvim --out DIR",
    "convert": "take over a tokenizer of diffusers or taming-transformers",
    "compress": "turn images, sounds or a token store into small files",
    "decompress": "turn such files back into images, sounds or a token store",
    "levels": "list FSQ levels for a codebook of about 2^bits codes",
    "info": "say what a folder or a compressed file of gridcode's is",
}

_PLACES = {"compress": "codec.compress", "decompress": "codec.decompress"}
"""Modules of verbs that share a folder."""

HELP = """usage: gridcode VERB [options]      gridcode VERB --help

Discrete tokenizers without a learned codebook (finite scalar quantization), and the generative models on top.

{verbs}

options:
  -h, --help   show this help and exit
  --version    show the version and exit
  --debug      show the whole traceback of an error
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: What follows ``gridcode``; the process's own by default.

    Returns:
        The exit code: 0, 2 after an error, 128 + the signal's number after a signal.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names that are not UTF-8, and terminals that have no UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    words = [_from_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP.format(verbs="\n".join(f"  {verb:12} {text}" for verb, text in VERBS.items())))
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"gridcode {version('gridcode')}")
        return 0
    return _run(words[0], words[1:], debug=debug)


def _from_home(word: str) -> str:
    """The word with a ~ that the shell left to us, as in --out=~/run or '~/run', made the home folder."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{os.path.expanduser(value)}" if value.startswith("~") else word


def _run(verb: str, arguments: list[str], *, debug: bool) -> int:
    """Run one verb; only ``--debug`` lets a traceback through."""
    try:
        if verb not in VERBS:
            raise GridcodeError(f"there is no verb {verb!r}; choose one of {', '.join(VERBS)}")
        from gridcode.cli.shared.advice import show_warnings

        show_warnings()
        import_module(f"gridcode.cli.{_PLACES.get(verb, verb)}").run(arguments)
    except GridcodeError as error:
        if debug:
            raise
        from gridcode.cli.shared.advice import as_typed

        print(f"gridcode {verb}: {' '.join(as_typed(str(error)).splitlines())}", file=sys.stderr)
        number: int = getattr(error, "number", 0)
        return 128 + number if number else 2
    except KeyboardInterrupt:
        print(f"gridcode {verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (``| head``); nothing is left to say, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError, RuntimeError) as error:
        if debug:
            raise
        text = (str(error) or type(error).__name__).splitlines()[0]
        print(f"gridcode {verb}: {type(error).__name__}: {text}; --debug shows where", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
