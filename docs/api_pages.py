"""A hook of MkDocs that writes the API reference: one page a package, from the stub file that lists its public names.

``src/gridcode/quantize/__init__.pyi`` becomes ``api/quantize.md``, which asks mkdocstrings for each name in the stub. A
folder or module without a stub is listed with its public classes and functions in the order of its files. So a new
package has its page as soon as it has a stub.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

SOURCE = Path(__file__).parents[1] / "src" / "gridcode"
WITHOUT_STUB = ("training", "recipes", "nn", "hub", "files", "errors")
"""Parts of the engine whose public names no stub lists."""


def on_files(files: Files, config: Any) -> Files:
    """Add a page for every package that has public names, and put the pages into the navigation."""
    pages = _pages()
    for name, text in pages.items():
        files.append(File.generated(config, f"api/{name}.md", content=text))
    reference = next(part["API reference"] for part in config["nav"] if "API reference" in part)
    reference[1:] = [{name: f"api/{name}.md"} for name in pages]
    return files


def _pages() -> dict[str, str]:
    """The text of each page by its name; a name that several packages export is described by the innermost one."""
    exports = {_dotted(stub): exported(stub) for stub in sorted(SOURCE.rglob("__init__.pyi"))}
    exports |= {f"gridcode.{name}": _in_modules(SOURCE / name) for name in WITHOUT_STUB}
    home: dict[str, str] = {}
    for package in sorted(exports, key=lambda package: -package.count(".")):
        for name in exports[package]:
            home.setdefault(name, package)
    pages = {}
    for package, names in exports.items():
        elsewhere = [f"- [`{name.rpartition('.')[2]}`][{name}]" for name in names if home[name] != package]
        here = [f"::: {name}" for name in names if home[name] == package]
        others = ["On other pages:", "\n".join(elsewhere)] if elsewhere else []
        pages[package] = "\n\n".join([f"# {package}", _docstring(package), *others, *here])
    return {package.removeprefix("gridcode."): text for package, text in pages.items() if exports[package]}


def _in_modules(place: Path) -> list[str]:
    """The public classes and functions of a module, or of all modules of a folder that has no stub."""
    if (place / "__init__.pyi").exists():
        return exported(place / "__init__.pyi")
    found = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    modules = [path for path in found if path.stem != "__init__" and path.exists()]
    return [f"{_dotted(path)}.{name}" for path in modules for name in _defined(path)]


def exported(stub: Path) -> list[str]:
    """The full names behind ``from .module import Name as Name``, in the stub's order."""
    package = _dotted(stub)
    names = []
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            names += [f"{package}.{node.module}.{found.name}" for found in node.names]
    return [_defining(name) for name in names]


def _defining(name: str) -> str:
    """A name that a package re-exports, under the module that defines it."""
    module, _, last = name.rpartition(".")
    stub = SOURCE.parent.joinpath(*module.split("."), "__init__.pyi")
    found = exported(stub) if stub.exists() else []
    return next((full for full in found if full.rpartition(".")[2] == last), name)


def _defined(path: Path) -> list[str]:
    """Public classes and functions of a module."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


def _dotted(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def _docstring(package: str) -> str:
    """What the package's docstring says, as plain text."""
    place = SOURCE.parent.joinpath(*package.split("."))
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.replace("``", "`")
