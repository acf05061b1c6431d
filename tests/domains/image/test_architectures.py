"""What every architecture keeps: its settings through JSON, the grid of another kind, networks of the grid's shape."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcode.cli.main import main
from gridcode.domains.image.architectures import TokenizerConfig, ViTConfig
from gridcode.domains.image.config import ARCHITECTURES, architecture_from_json
from gridcode.domains.image.domain import NETWORKS
from gridcode.domains.image.networks.make import blocks_of, make_networks
from gridcode.errors import GridcodeError
from gridcode.nn.conv import MaskGITBlock
from gridcode.quantize.config import BSQConfig, FSQConfig, VQConfig
from gridcode.tokenizer.card import tokenizer_card
from gridcode.tokenizer.model import Tokenizer

EVERY = pytest.mark.parametrize("name", ARCHITECTURES)


@EVERY
@pytest.mark.parametrize("quantizer", [FSQConfig((5, 4, 3)), VQConfig("uvim", size=12), BSQConfig(bits=7)])
def test_settings_survive_json(name: str, quantizer: FSQConfig | VQConfig | BSQConfig) -> None:
    config = ARCHITECTURES[name](quantizer=quantizer, channels=1)
    assert architecture_from_json(json.loads(json.dumps(asdict(config)))) == config
    assert config.name == name


@EVERY
@settings(max_examples=20, deadline=None)
@given(halvings=st.integers(0, 5), channels=st.sampled_from([1, 3]))
def test_another_kind_keeps_quantizer_channels_and_grid(name: str, halvings: int, channels: int) -> None:
    other = ViTConfig(quantizer=FSQConfig((5, 4)), channels=channels, patch=1 << halvings)
    config = ARCHITECTURES[name].like(other)
    assert (config.name, config.quantizer, config.channels) == (name, other.quantizer, channels)
    assert config.grid(96, 32) == other.grid(96, 32)


@given(patch=st.integers(1, 100))
def test_conv_covers_any_patch(patch: int) -> None:
    assert TokenizerConfig.like(ViTConfig(patch=patch)).downsampling == patch


@EVERY
def test_networks_have_the_grids_shape_and_their_blocks_are_callable_one_after_another(name: str) -> None:
    config = ARCHITECTURES[name].like(ViTConfig(patch=4))
    encoder, decoder = make_networks(config, 5)
    pictures = torch.zeros(2, 3, 8, 12)
    assert encoder(pictures).shape == (2, 5, *config.grid(8, 12)) == (2, 5, 2, 3)
    assert decoder(encoder(pictures)).shape == pictures.shape
    for network in (encoder, decoder):
        held = {id(p) for block in blocks_of(network) for p in block.parameters()}
        assert held == {id(p) for p in network.parameters()}


def test_a_smoothing_layer_begins_as_its_shortcut() -> None:
    config = TokenizerConfig(widths=(8, 16), encoder_blocks=1, decoder_blocks=1, patch=2)
    plain, smooth = Tokenizer(config), Tokenizer(replace(config, smooth=8))
    missing = smooth.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert sum(smooth.get_parameter(name).numel() for name in missing) == 2 * 25 * 3 * 8 + 8 + 3
    indices = torch.randint(0, plain.codebook_size, (2, 3, 5))
    assert torch.equal(plain.decode(indices), smooth.decode(indices))
    torch.nn.init.normal_(smooth.get_parameter(missing[-2]))
    assert not torch.equal(plain.decode(indices), smooth.decode(indices))


@pytest.mark.parametrize("config", [TokenizerConfig(widths=(8, 16)), ViTConfig()])
def test_what_is_kept_for_the_backward_pass_grows_with_the_image(config: TokenizerConfig | ViTConfig) -> None:
    assert config.activations(64, 32) == pytest.approx(2 * config.activations(32, 32))
    assert replace(config, patch=2 * config.patch).activations(64, 64) == pytest.approx(config.activations(32, 32))


class TestMaskGIT:
    """Its published count, by hand from its widths: 3x3 without biases in blocks, shortcuts on the processed branch."""

    @staticmethod
    def counts(d: int) -> tuple[int, int]:
        def norm(width: int) -> int:
            return 2 * width

        def block(before: int, after: int) -> int:
            convs = 9 * before * after + 9 * after * after
            return norm(before) + norm(after) + convs + (after * after if before != after else 0)

        widths = (128, 128, 256, 256, 512)
        encoder, before = 9 * 3 * 128, 128
        for width in widths:
            encoder += block(before, width) + block(width, width)
            before = width
        encoder += 2 * block(512, 512) + norm(512) + 512 * d + d
        decoder, before = 9 * d * 512 + 512 + 2 * block(512, 512), 512
        for stage, width in enumerate(widths[::-1]):
            decoder += block(before, width) + block(width, width)
            before = width
            decoder += 9 * width * width + width if stage < 4 else 0
        decoder += norm(128) + 9 * 128 * 3 + 3
        return encoder, decoder

    def test_with_its_own_book_it_has_the_published_parameters(self) -> None:
        with torch.device("meta"):
            tokenizer = Tokenizer(TokenizerConfig.maskgit(VQConfig("maskgit", size=1024, channels=256)))
        assert tokenizer.parameter_count == sum(self.counts(256)) + 1024 * 256 == 54_515_587
        # A shortcut on the block's input would be before x after instead of after x after.
        changed = [block for block in tokenizer.modules() if isinstance(block, MaskGITBlock) and block.shortcut]
        moved = sum(b.conv1.in_channels * b.conv1.out_channels - b.conv1.out_channels**2 for b in changed)
        assert len(changed) == 4
        assert tokenizer.parameter_count + moved == 54_433_667

    def test_with_fsq_it_needs_no_book_and_narrower_ends(self) -> None:
        with torch.device("meta"):
            tokenizer = Tokenizer(TokenizerConfig.maskgit(FSQConfig((8, 5, 5, 5))))
        assert tokenizer.parameter_count == sum(self.counts(4)) == 52_962_951

    def test_it_takes_images_that_are_not_square(self) -> None:
        config = replace(TokenizerConfig.maskgit(), widths=(8, 8, 16, 16, 24))
        tokenizer = Tokenizer(config).eval()
        indices = tokenizer.encode(torch.zeros(1, 3, 32, 80))
        assert indices.shape == (1, 2, 5)
        assert tokenizer.decode(indices).shape == (1, 3, 32, 80)


def test_a_config_from_before_there_were_kinds_is_convolutional(tmp_path: Path) -> None:
    tokenizer = Tokenizer(TokenizerConfig(widths=(8, 8), encoder_blocks=1, decoder_blocks=1))
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    assert config["model"].pop("name") == "conv"
    path.write_text(json.dumps(config))
    assert Tokenizer.from_pretrained(tmp_path).config == tokenizer.config
    config["model"]["name"] = "mlp"
    path.write_text(json.dumps(config))
    with pytest.raises(GridcodeError, match=r"there is no architecture 'mlp'; choose one of conv, vit"):
        Tokenizer.from_pretrained(tmp_path)


@EVERY
def test_the_card_says_what_the_networks_are(name: str) -> None:
    tokenizer = Tokenizer(ARCHITECTURES[name].like(ViTConfig(patch=4)))
    assert f"| networks | {NETWORKS[name]} |\n" in tokenizer_card(tokenizer)


class TestCommandLine:
    @EVERY
    def test_a_dry_run_takes_any_architecture(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["train", "tokenizer", "scenes_smoke", "--quantizer", "lfq", "--architecture", name, "--dry-run"]
        assert main(words) == 0
        out = capsys.readouterr().out
        assert json.loads(out[out.index("{") : out.index("\n\nparameters")])["model"]["name"] == name
        assert "token grid   8 x 8 = 64 tokens of 1,024 codes" in out

    def test_the_same_kind_keeps_the_recipes_settings_and_another_has_its_own(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ["train", "tokenizer", "scenes_smoke", "--dry-run", "--architecture"]
        assert main([*words, "conv", "--model.widths", "16", "24"]) == 0
        assert '"encoder_blocks": 1,' in capsys.readouterr().out
        assert main([*words[:-1], "--architecture=vit", "--model.patch", "8", "--model.side", "4"]) == 0
        out = capsys.readouterr().out
        assert "token grid   4 x 4 = 16 tokens of 240 codes" in out
        assert "widths" not in out[: out.index('"loss"')]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--architecture", "mlp"], "invalid choice 'mlp' for argument '--architecture'"),
            (["--architecture", "vit", "--model.widths", "8"], "Unrecognized options: --model.widths"),
            (["--architecture", "vit", "--model.heads", "5"], "width must be a multiple of heads"),
        ],
    )
    def test_mistakes_are_one_line(self, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["train", "tokenizer", "scenes_smoke", "--out", "nowhere", *words]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1

    def test_help_lists_every_architecture(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["train"]) == 0
        assert set(ARCHITECTURES) <= set(capsys.readouterr().out.split())

    def test_a_prior_needs_tokens_except_for_a_dry_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["train", "prior", "scenes_smoke", "--out", "nowhere"]) == 2
        assert "give the token store to learn from with --tokens STORE" in capsys.readouterr().err
        assert main(["train", "prior", "scenes_smoke", "--dry-run"]) == 0
        out = capsys.readouterr().out
        assert "token grid   8 x 8 = 64 tokens of 240 codes" in out
        assert "classes      5\n" in out
        assert main(["train", "prior", "scenes_smoke", "--model.head", "independent", "--dry-run"]) == 0
        assert "token grid   8 x 8 = 64 tokens of 240 codes" in capsys.readouterr().out
