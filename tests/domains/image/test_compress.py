"""Images to bytes and back; an image in tiles is the image."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gridcode.codec import Header, ImageSize, pack_stream, parse_stream
from gridcode.domains.image import TokenizerConfig, tiles
from gridcode.domains.image.compress import Codec
from gridcode.domains.image.show import reconstruct
from gridcode.domains.image.tiles import spans
from gridcode.errors import GridcodeError
from gridcode.evaluation.images import to_uint8
from gridcode.prior.config import MaskGITConfig, TokenSpace
from gridcode.prior.maskgit import MaskGIT
from gridcode.quantize.config import FSQConfig, ResidualFSQConfig
from gridcode.tokenizer.model import Tokenizer


def made(config: TokenizerConfig) -> Codec:
    torch.manual_seed(0)
    return Codec.of(Tokenizer(config).eval())


SMALL = TokenizerConfig(quantizer=FSQConfig((5, 4)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return made(SMALL)


def noise(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("coder", ["raw", "static"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 1), (17, 4, 3), (16, 16, 1)])
def test_what_comes_back_is_the_reconstruction(codec: Codec, shape: tuple[int, int, int], coder: str) -> None:
    picture = noise(*shape)
    back = codec.decompress(codec.compress(picture, coder=coder))  # type: ignore[arg-type]
    assert back.shape == shape
    if shape[2] == 3:
        image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
        difference = to_uint8(reconstruct(codec.rates[0].tokenizer, image))[0].astype(int) - back
        assert abs(difference).max() <= 1


def prior_of(codec: Codec) -> MaskGIT:
    tokenizer = codec.rates[0].tokenizer
    space = TokenSpace(20, (4, 5), classes=(), tokenizer=tokenizer.weights_hash(), data={}, levels=(5, 4))
    torch.manual_seed(0)
    return MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), space).eval()


@pytest.mark.parametrize("size", [(1, 1), (8, 10), (19, 23)])
def test_by_the_prior(codec: Codec, size: tuple[int, int]) -> None:
    both = Codec.of(codec.rates[0].tokenizer, prior_of(codec))
    picture = noise(*size)
    data = both.compress(picture)
    assert parse_stream(data, "").header.coder == "prior"
    np.testing.assert_array_equal(both.decompress(data).shape, picture.shape)
    if size == (19, 23):
        np.testing.assert_array_equal(both.decompress(data), codec.decompress(codec.compress(picture)))
        with pytest.raises(GridcodeError, match="and this model has none; give the model it was made by"):
            codec.decompress(data)
        other = prior_of(codec)
        other.vocabulary.bias.data += 1  # type: ignore[union-attr, operator]
        with pytest.raises(GridcodeError, match=r"was coded by prior \w+, this one is \w+"):
            Codec.of(codec.rates[0].tokenizer, other.eval()).decompress(data)
        other.space = replace(other.space, tokenizer="0" * 16)
        with pytest.raises(GridcodeError, match="learned the tokens of tokenizer 0000"):
            Codec.of(codec.rates[0].tokenizer, other)


def test_a_grey_tokenizer_with_several_tokens_a_place() -> None:
    codec = made(replace(SMALL, channels=1, quantizer=ResidualFSQConfig(levels=(5, 3), stages=2)))
    data = codec.compress(noise(9, 6))
    assert parse_stream(data, "").header.grid[2:] == (2,)
    assert codec.decompress(data).shape == (9, 6, 3)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 400), st.integers(1, 12), st.integers(0, 40))
def test_tiles_cover_a_side(length: int, overlap: int, more: int) -> None:
    tile = 3 * overlap + 1 + more
    found = spans(length, tile=tile, overlap=overlap, fade=overlap // 2)
    assert (found[0].first, found[-1].end) == (0, length)
    assert all(one.end == two.first for one, two in pairwise(found))
    for span in found:
        fades = (span.fade * (span.first > 0), span.fade * (span.end < length))
        assert span.start <= span.first - fades[0]
        assert span.end + fades[1] <= span.start + span.length <= length
        assert span.first + fades[0] <= span.end - fades[1]


def test_tiles_of_a_constant_image_have_no_seams(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE", 32)
    monkeypatch.setattr(tiles, "OVERLAP", 8)
    grid = torch.full((30, 21), 7)
    with monkeypatch.context() as patch:
        # Every token a colour of its own, so that whatever is not blended with weights of 1 in all is seen.
        patch.setattr(
            Tokenizer,
            "decode",
            lambda self, x: (
                ((x.float() - 10) / 10)[:, None].expand(-1, 3, -1, -1).repeat_interleave(2, 2).repeat_interleave(2, 3)
            ),
        )
        assert np.unique(tiles.decode_tiles(codec.rates[0].tokenizer, grid, 59, 41)).tolist() == [89]
        rows = torch.arange(30)[:, None].expand(30, 21) % 20
        found = tiles.decode_tiles(codec.rates[0].tokenizer, rows, 60, 42)[::2, 0, 0]
        assert found.tolist() == to_uint8((rows.float()[:, :1] - 10).view(1, 1, 30, 1) / 10).flatten().tolist()
    picture = noise(60, 42)
    tokens = tiles.encode_image(codec.rates[0].tokenizer, picture, (30, 21))
    assert tokens.shape == (30, 21)
    image = torch.from_numpy(picture[:32, :32].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    first = spans(30, tile=16, overlap=4, fade=2)[0].end
    assert torch.equal(tokens[:first, :first][:4, :4], codec.rates[0].tokenizer.encode(image)[0, :4, :4])


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize(("widths", "blocks", "smooth"), [((8,), 1, 0), ((8, 16), 2, 0), ((8,), 2, 4)])
def test_networks_look_as_far_as_they_say(widths: tuple[int, ...], patch: int, blocks: int, smooth: int) -> None:
    config = replace(
        SMALL, widths=widths, patch=patch, encoder_blocks=1, decoder_blocks=blocks, norm="channel", smooth=smooth
    )
    tokenizer, f = made(config).rates[0].tokenizer, config.downsampling
    for parameter in tokenizer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # blocks begin as their shortcuts
    assert config.reach is not None
    assert SMALL.reach is None
    side = (2 * -(-config.reach // f) + 3) * f
    image, middle = torch.zeros(1, 3, side, side, requires_grad=True), side // f // 2
    latents = tokenizer.encoder(image)
    latents[0, :, middle].sum().backward()
    assert image.grad is not None
    rows = image.grad.abs().amax((0, 1, 3)).nonzero().flatten()
    above, below = middle * f - int(rows[0]), int(rows[-1]) - (middle + 1) * f + 1
    codes = torch.zeros(1, latents.shape[1], side // f, side // f, requires_grad=True)
    tokenizer.decoder(codes)[0, :, middle * f : (middle + 1) * f].sum().backward()
    assert codes.grad is not None
    rows = codes.grad.abs().amax((0, 1, 3)).nonzero().flatten()
    seen = max(above, below, (middle - int(rows[0])) * f - f + 1, (int(rows[-1]) - middle) * f - f + 1)
    assert config.reach - 2 * f < seen <= config.reach


def test_tiles_without_a_look_at_the_whole_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = made(replace(SMALL, norm="channel")).rates[0].tokenizer
    for parameter in tokenizer.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    picture, grid = noise(300, 210), (150, 105)
    monkeypatch.setattr(tiles, "TILE", 10_000)
    tokens = tiles.encode_image(tokenizer, picture, grid)
    whole = tiles.decode_tiles(tokenizer, tokens, 300, 210).astype(int)
    monkeypatch.setattr(tiles, "TILE", 16)
    # Another size is another order of sums, and a latent in a thousand may lie that near to a threshold.
    assert (tokens == tiles.encode_image(tokenizer, picture, grid)).float().mean() > 0.999
    assert np.abs(whole - tiles.decode_tiles(tokenizer, tokens, 300, 210)).max() <= 1
    assert len(tokens.unique()) > 5
    assert whole.std() > 5


def test_rates_are_of_different_tokenizers(codec: Codec) -> None:
    for rates in ((), (*codec.rates, *codec.rates)):
        with pytest.raises(GridcodeError, match="rates of different tokenizers"):
            Codec(rates)


def test_what_is_not_of_this_codec(codec: Codec) -> None:
    data = codec.compress(noise(6, 6))
    header, payload = parse_stream(data, "").header, parse_stream(data, "").payload(0)

    def refused(changed: Header, message: str, **settings: int) -> None:
        with pytest.raises(GridcodeError, match=re.escape(message)):
            codec.decompress(pack_stream(changed, [payload]), name="a.gc", **settings)

    refused(replace(header, model="0" * 16), f"a.gc was made by tokenizer {'0' * 16}, this one is ")
    refused(replace(header, image=None), "a.gc holds the tokens of a token store, not an image")
    refused(replace(header, image=ImageSize(2**20, 2**20, 3)), "a.gc: too many pixels (1099511627776, and the limit")
    refused(header, "too many pixels (36, and the limit is 35); set data.max_pixels=36", max_pixels=35)
    for change in ({"grid": (3, 4)}, {"grid": (3, 3, 1)}, {"codes": 21}, {"image": ImageSize(7, 6, 3)}):
        refused(replace(header, **change), "a.gc: its tokens are not those of its size")
    other = bytes([payload[0] ^ 1]) + payload[1:]
    with pytest.raises(GridcodeError, match="does not decode to the tokens that were coded"):
        codec.decompress(pack_stream(header, [other]))
    with pytest.raises(GridcodeError, match=r"compress takes uint8 images .* got float64 \(2, 2, 3\)"):
        codec.compress(np.zeros((2, 2, 3)))  # type: ignore[arg-type]
