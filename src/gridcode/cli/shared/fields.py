"""Our frozen dataclasses as tyro's options: those of its own rules, in half the time.

By its own rules tyro checks a default such as ``None`` of ``int | None`` or ``(8, 5)`` of ``tuple[int, ...]`` with
typeguard, whose import takes as long as tyro's own, and reads a module once for every class in it to find what the
fields' docstrings say. Here a union is given as ``typing.Union``, which tyro checks by itself; a tuple is given with
the reader of its words, by which its default is checked too; and a module is read once.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from tyro import MISSING
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

OPTIONS = ConstructorRegistry()
"""For ``tyro.cli(registry=OPTIONS)``."""


@OPTIONS.struct_rule
def options_of(info: StructTypeInfo) -> StructConstructorSpec | None:
    """The fields of a dataclass of gridcode's; tyro's own rules are for all others.

    Raises:
        TypeError: A default is not of its field's type.
    """
    kind = info.type
    if not (dataclasses.is_dataclass(kind) and kind.__module__.startswith("gridcode.")):
        return None
    hints = _hints(kind)
    fields = []
    for field in (field for field in dataclasses.fields(kind) if field.init):
        default = _default(field, info.default)
        described: Callable[[], str | None] = partial(_described, kind, field.name, default)
        fields.append(StructFieldSpec(field.name, _readable(hints[field.name], default, info), default, described))
    return StructConstructorSpec(kind, tuple(fields))


@lru_cache(maxsize=256)
def _hints(kind: type) -> dict[str, Any]:
    """A dataclass's types by field; tyro asks for a dataclass's fields several times."""
    return get_type_hints(kind, include_extras=True)


def _default(field: dataclasses.Field[Any], instance: object) -> object:
    """What a field is in an instance, else by itself; ``MISSING`` where it must be given."""
    if dataclasses.is_dataclass(instance):
        return getattr(instance, field.name)
    if field.default is not dataclasses.MISSING:
        return field.default
    return MISSING if field.default_factory is dataclasses.MISSING else field.default_factory()


def _readable(hint: Any, default: object, info: StructTypeInfo) -> Any:
    """A type that tyro reads as it reads ``hint``, and checks without typeguard."""
    if get_origin(hint) is Annotated:
        kind, *notes = get_args(hint)
        return Annotated[(_readable(kind, default, info), *notes)]
    if "tuple" in str(hint):
        spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(hint, set(info.markers)))
        assert isinstance(spec, PrimitiveConstructorSpec), hint
        if default is not MISSING and not spec.is_instance(default):
            raise TypeError(f"the default {default!r} of {info.type.__name__} is no {hint}")
        return Annotated[object, spec]
    if get_origin(hint) in (Union, UnionType):
        # Of a choice among settings, the default's are the options (AvoidSubcommands).
        return type(default) if dataclasses.is_dataclass(default) else Union[get_args(hint)]  # noqa: UP007
    return hint


def _described(kind: type, name: str, default: object) -> str | None:
    """What the docstring under a field says, in the class or in one that it inherits from.

    Settings that have none are described by what their own class says of itself first.
    """
    for owner in kind.__mro__:
        found = _docstrings(owner.__module__).get(owner.__qualname__, {})
        if name in found:
            return found[name]
    return _joined((type(default).__doc__ or "").partition("\n\n")[0]) if dataclasses.is_dataclass(default) else None


def _joined(text: str) -> str:
    """A text's lines as one, which is folded anew where it is shown."""
    return " ".join(text.split())


@lru_cache(maxsize=64)
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """The docstrings under the fields of a module's classes, a paragraph a line: by class and field."""
    if not module.startswith("gridcode."):
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    found: dict[str, dict[str, str]] = {}
    for made in tree.body:
        if isinstance(made, ast.ClassDef):
            texts = found.setdefault(made.name, {})
            for field, after in zip(made.body, made.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    match after:
                        case ast.Expr(ast.Constant(str(text))):
                            texts[field.target.id] = _joined(text)
    return found
