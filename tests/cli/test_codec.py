"""compress, decompress and info on files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from PIL import Image

from gridcode.cli.codec.compress import Compress
from gridcode.cli.codec.files import Job
from gridcode.cli.codec.work import _in_process
from gridcode.cli.main import main
from gridcode.cli.shared.models import CodecModel
from gridcode.domains.image import TokenizerConfig
from gridcode.errors import GridcodeError
from gridcode.prior.config import MaskGITConfig
from gridcode.prior.maskgit import MaskGIT
from gridcode.prior.train import token_space
from gridcode.quantize.config import FSQConfig
from gridcode.store.reader import TokenStore
from gridcode.store.writer import StoreWriter
from gridcode.tokenizer.model import Tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    config = TokenizerConfig(quantizer=FSQConfig((5, 4)), widths=(8, 8), encoder_blocks=1, decoder_blocks=1)
    for seed, name in enumerate(("tokenizer", "other/tokenizer")):
        torch.manual_seed(seed)
        Tokenizer(config).save_pretrained(folder / name)
    return str(folder)


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 0
    return capsys.readouterr().out


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    seen = capsys.readouterr()
    assert seen.err.count("\n") == 1, seen.err
    return seen.err


def picture(path: Path, mode: str = "RGB", size: tuple[int, int] = (13, 6)) -> Path:
    Image.linear_gradient("L").resize(size).convert(mode).save(path)
    return path


def test_an_image_there_and_back(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = picture(tmp_path / "photo.jpg")
    packed = tmp_path / "photo.jpg.gc"
    assert said(["compress", str(photo), "--model", model], capsys) == f"{packed}: 51 bytes, 5.2308 bits per pixel\n"
    told = said(["info", str(packed)], capsys)
    assert told.splitlines()[1:4] == [
        "image: 13x6 RGB, 5.2308 bits per pixel",
        "tokens: 3x7 of 20 codes, 19.429 bits per token",
        f"coder: raw; tokenizer {Tokenizer.from_pretrained(Path(model) / 'tokenizer').weights_hash()}",
    ]
    said(["decompress", str(packed), "--model", f"{model}/tokenizer"], capsys)
    with Image.open(tmp_path / "photo.jpg.png") as back:
        assert (back.size, back.mode) == ((13, 6), "RGB")
    assert "is there already" in refused(["compress", str(photo), "--model", model], capsys)
    said(["compress", str(photo), "--model", model, "--force", "--coder", "static", "--out", str(packed)], capsys)


def test_folders_of_images_of_all_modes(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in/a").mkdir(parents=True)
    modes = {"L": ".png", "RGB": ".png", "RGBA": ".png", "CMYK": ".jpg"}
    for mode, ending in modes.items():
        picture(tmp_path / "in/a" / f"{mode}{ending}", mode)
    picture(tmp_path / "in/a/one.png", size=(1, 1))
    out = said(["compress", str(tmp_path / "in"), "--model", model, "--out", str(tmp_path / "out")], capsys)
    assert len(out.splitlines()) == 6
    said(["decompress", str(tmp_path / "out"), "--model", model, "--out", str(tmp_path / "back")], capsys)
    found = {}
    for path in (tmp_path / "back/a").iterdir():
        with Image.open(path) as image:
            found[path.name] = (image.mode, image.size)
    assert found == {
        "L.png": ("L", (13, 6)),
        "RGB.png": ("RGB", (13, 6)),
        "RGBA.png": ("RGB", (13, 6)),
        "CMYK.jpg.png": ("RGB", (13, 6)),
        "one.png": ("RGB", (1, 1)),
    }
    (tmp_path / "in/a/bad.png").write_bytes(b"no image")
    words = ["compress", str(tmp_path / "in"), "--model", model, "--out", str(tmp_path / "new")]
    assert "bad.png: not an image" in refused(words, capsys)
    said([*words, "--force", "--on-error", "skip"], capsys)
    assert not (tmp_path / "new/a/bad.png.gc").exists()


def test_several_rates_and_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, photos = str(tmp_path / "model"), tmp_path / "in"
    photos.mkdir()
    for seed, (name, widths) in enumerate({"low": (8, 8, 8, 8), "high": (8, 8)}.items()):
        torch.manual_seed(seed)
        config = TokenizerConfig(quantizer=FSQConfig((5, 4)), widths=widths, encoder_blocks=1, decoder_blocks=1)
        Tokenizer(config).save_pretrained(Path(model) / name / "tokenizer")
    for number in range(3):
        picture(photos / f"{number}.png", size=(96, 64 + number))
    out = ["--model", model, "--out"]
    high = said(["compress", str(photos), *out, str(tmp_path / "high"), "--workers", "2"], capsys).splitlines()
    assert [line.rsplit("/", 1)[1] for line in high[:1]] == ["0.png.gc: 870 bytes, 1.1328 bits per pixel"]
    low = said(["compress", str(photos), *out, str(tmp_path / "low"), "--bpp", "0.5"], capsys).splitlines()
    assert low[0].endswith("/0.png.gc: 91 bytes, 0.1185 bits per pixel")
    assert "0.png: the lowest rate of this model takes 0.1185 bits" in refused(
        ["compress", str(photos / "0.png"), *out, str(tmp_path / "x.gc"), "--bpp", "0.1"], capsys
    )
    for rate in ("high", "low"):
        said(["decompress", str(tmp_path / rate), *out, str(tmp_path / f"{rate}-back")], capsys)
        assert len(list((tmp_path / f"{rate}-back").iterdir())) == 3
    assert "--workers must be at least 1" in refused(
        ["decompress", str(tmp_path / "high"), *out, str(tmp_path / "y"), "--workers", "0"], capsys
    )
    (photos / "1.png").write_bytes(b"no image")
    words = ["compress", str(photos), *out, str(tmp_path / "new")]
    assert "1.png: not an image" in refused(words, capsys)
    assert len(said([*words, "--force", "--on-error", "skip"], capsys).splitlines()) == 3
    low = [*words, "--force", "--on-error", "skip", "--bpp", "0.01"]
    assert main(low) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"none of the 3 images in {photos} was compressed")
    weights = tmp_path / "model/low/tokenizer/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    # A model that cannot be read is no reason to skip every image, here or in another process.
    with pytest.raises(GridcodeError, match="cannot be read"):
        _in_process(Compress(None, None, None), CodecModel(model), Job(photos / "0.png", tmp_path / "z.gc"))
    assert "model.safetensors cannot be read" in refused([*words, "--force", "--on-error", "skip"], capsys)


def test_bad_input_is_told_in_one_line(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = picture(tmp_path / "photo.png")
    said(["compress", str(photo), "--model", model], capsys)
    packed, out = tmp_path / "photo.png.gc", ["--out", str(tmp_path / "back.png"), "--model", model]
    whole = packed.read_bytes()
    cases = {
        "checksum is wrong": whole[:-1] + bytes([whole[-1] ^ 1]),
        "is damaged": whole[:-1],
        "upgrade gridcode": whole[:4] + b"\x07" + whole[5:],
        "is no file of gridcode compress": photo.read_bytes(),
        "is no file of": b"",
    }
    for message, data in cases.items():
        packed.write_bytes(data)
        assert message in refused(["decompress", str(packed), *out], capsys)
        assert message in refused(["info", str(packed)], capsys)
    packed.write_bytes(whole)
    assert "was made by tokenizer" in refused(
        ["decompress", str(packed), *out[:2], "--model", f"{model}/other"], capsys
    )
    assert "set --max-pixels 78" in refused(["decompress", str(packed), *out, "--max-pixels", "77"], capsys)
    assert "no such image" in refused(["compress", str(tmp_path / "x.png"), "--model", model], capsys)
    assert "as --out" in refused(["compress", str(tmp_path), "--model", model], capsys)
    (tmp_path / "empty").mkdir()
    assert "no files that end in .gc" in refused(
        ["decompress", str(tmp_path / "empty"), "--out", str(tmp_path), *out[2:]], capsys
    )
    assert not (tmp_path / "back.png").exists()


def test_a_token_store_there_and_back(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, coded, back = (str(tmp_path / name) for name in ("tokens", "coded", "back"))
    with StoreWriter(
        tokens,
        quantizer={"name": "fsq", "levels": [5, 4]},
        codebook_size=20,
        grid=(2, 3),
        tokenizer="0123456789abcdef",
        data={"source": "x"},
        classes=("cat", "dog"),
    ) as writer:
        draw = torch.Generator().manual_seed(0)
        for split, rows in (("train", 6), ("val", 2)):
            drawn = torch.randint(20, (rows, 2, 3), generator=draw)
            writer.write(split, drawn, torch.arange(rows) % 3 - 1, [f"{split}/{row}" for row in range(rows)])
    store = TokenStore.open(tokens)
    parts = tmp_path / "parts"
    MaskGIT(MaskGITConfig(width=16, depth=1, heads=2, mlp=32), token_space(store)).save_pretrained(parts / "prior")

    words = ["compress", tokens, "--model", str(parts), "--out", coded]
    for option in ("--bpp", "--workers"):
        assert "--bpp and --workers are for images" in refused([*words, option, "2"], capsys)
    out = said(words, capsys)
    assert [line.partition(":")[0] for line in out.splitlines()] == [f"{coded}/train.gc", f"{coded}/val.gc"]
    assert "coder: prior" in said(["info", f"{coded}/val.gc"], capsys)
    assert f"{coded}/train.gc is there already" in refused(words, capsys)
    assert "6 train, 2 val" in said(["decompress", coded, "--model", str(parts), "--out", back], capsys)
    assert TokenStore.open(back).manifest.data == store.manifest.data
    for split in store.splits:
        found, expected = TokenStore.open(back).load(split), store.load(split)
        assert torch.equal(found.tokens, expected.tokens)
        assert torch.equal(found.labels, expected.labels)
        assert found.keys == expected.keys

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(parts / "prior"))
    said(["compress", tokens, "--model", "org/prior", "--out", str(tmp_path / "by_hub")], capsys)
    assert (tmp_path / "by_hub" / "val.gc").read_bytes() == Path(coded, "val.gc").read_bytes()
    line = refused(["compress", tokens, "--model", "no/such/place", "--out", "x"], capsys)
    assert "no folder no/such/place, and it is no hub id (org/name)" in line

    said(["compress", tokens, "--model", model, "--out", coded, "--force"], capsys)  # a model without a prior
    assert "coder: static" in said(["info", f"{coded}/val.gc"], capsys)
    assert "--coder prior needs a prior" in refused([*words[:3], model, "--out", "x", "--coder", "prior"], capsys)
    assert "give it as --out" in refused(words[:4], capsys)
    with StoreWriter.of(tmp_path / "no_rows", replace(store.manifest, shards=())):
        pass
    assert "has no examples" in refused(["compress", str(tmp_path / "no_rows"), *words[2:]], capsys)
    whole = Path(coded, "val.gc").read_bytes()
    Path(coded, "val.gc").write_bytes(whole[:-3] + b"\0" + whole[-2:])
    line = refused(["decompress", coded, "--model", model, "--out", str(tmp_path / "none")], capsys)
    assert "val.gc" in line
    assert "damaged" in line
    assert not (tmp_path / "none").exists()
    Path(coded, "val.gc").write_bytes(Path(coded, "train.gc").read_bytes())
    line = refused(["decompress", coded, "--model", model, "--out", str(tmp_path / "none")], capsys)
    assert "one file for each split, not from ['train', 'train']" in line
