"""Our reading of dataclasses gives the values of tyro's own rules, and refuses what those warn of."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from gridcode.cli.shared.fields import OPTIONS, options_of
from gridcode.domains.image.config import TokenizerRun
from gridcode.quantize.config import FSQConfig
from gridcode.recipes import image_recipe

CONFIG = (tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--model.widths 8 --optim.betas 0.5 0.75 --model.quantizer.levels 5 4 3",
        "--data.train-count 7 --data.val-source x --data.crop.flip --model.quantizer.eps 0.125",
        "--data.val-source None --loop.val-every 9",
    ],
)
def test_the_values_are_those_of_tyros_own_rules(words: str) -> None:
    run = image_recipe("scenes_smoke").tokenizer
    ours, tyros = (
        tyro.cli(TokenizerRun, args=words.split(), default=run, config=CONFIG, registry=registry)
        for registry in (OPTIONS, ConstructorRegistry())
    )
    assert ours == tyros
    assert (ours == run) == (not words)


def fields_of(kind: type, default: object) -> dict[str, StructFieldSpec]:
    spec = options_of(StructTypeInfo.make(kind, default, in_union_context=False))
    assert isinstance(spec, StructConstructorSpec)
    return {field.name: field for field in spec.fields}


def test_a_default_of_another_type_is_no_default() -> None:
    broken = FSQConfig()
    object.__setattr__(broken, "levels", "abc")
    with pytest.raises(TypeError, match=r"the default 'abc' of FSQConfig is no tuple\[int, \.\.\.\]"):
        fields_of(FSQConfig, broken)


def test_a_fields_docstring_is_its_help_also_where_it_is_inherited() -> None:
    from gridcode.cli.shared.options import DataChange

    told = fields_of(DataChange, DataChange())["max_pixels"].helptext
    assert callable(told)
    assert told() == "Refuse images of more pixels; Pillow's limit of 89 million by default."


def test_classes_of_others_are_left_to_tyro() -> None:
    @dataclass(frozen=True)
    class Other:
        a: int = 1

    assert options_of(StructTypeInfo.make(Other, Other(), in_union_context=False)) is None
