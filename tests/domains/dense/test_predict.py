"""Predictions: the map of an image at its own size, in files that the readers of data sets take back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gridcode.data.config import DataConfig
from gridcode.data.file_names import file_stem
from gridcode.data.open import open_source, open_split
from gridcode.data.source import Example
from gridcode.domains.dense.data.coco import CocoPanoptic, coco_image_ids, write_coco
from gridcode.domains.dense.data.config import Task
from gridcode.domains.dense.data.files import read_depth, read_ids
from gridcode.domains.dense.data.loader import dense_eval_batches
from gridcode.domains.dense.data.open import open_dense
from gridcode.domains.dense.data.panoptic import canonical
from gridcode.domains.dense.domain import dense_domain
from gridcode.domains.dense.predict_folder import PredictOptions, predict_source, write_maps
from gridcode.domains.dense.predictor import DensePredictor
from gridcode.domains.dense.recipes import DenseRun
from gridcode.errors import GridcodeError
from gridcode.metrics import PanopticQuality
from gridcode.prior.config import MaskGITConfig
from gridcode.prior.make import load_prior, make_prior
from gridcode.prior.samplers.config import GREEDY, SamplerConfig
from gridcode.tokenizer.model import Tokenizer

TASKS: tuple[Task, ...] = ("depth", "panoptic", "colour")


@pytest.fixture
def predictor(request: pytest.FixtureRequest, trained: Callable[[Task], Path]) -> DensePredictor:
    folder = trained(request.param)
    return DensePredictor.from_pretrained(folder / "prior", folder / "tokenizer")


def pictures(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Scenes of several sizes as files."""
    source = open_split(DataConfig(source="scenes", size=48, train_count=3), "train")
    cut = {f"room {n}/a.png": example.image[: 30 + n, : 40 - n] for n, example in enumerate(source)}
    for name, image in cut.items():
        (folder / name).parent.mkdir(parents=True)
        Image.fromarray(image).save(folder / name)
    return cut


@pytest.mark.parametrize("predictor", TASKS, indirect=True)
def test_an_image_of_the_models_size_gets_what_the_two_stages_say(predictor: DensePredictor) -> None:
    data = dense_domain(predictor.tokenizer).data
    (batch,) = dense_eval_batches(open_dense(data, "val"), data, batch_size=8)
    codes = predictor.prior.predict(batch.images)
    expected = predictor.tokenizer.decode(codes, batch.images)
    assert torch.equal(predictor.predict(batch.images), expected)
    examples = list(open_dense(data, "val"))
    found = predictor.predict_images([example.image for example in examples])
    for prediction, wanted in zip(found, expected.numpy(), strict=True):
        np.testing.assert_array_equal(prediction.planes, wanted)
        assert prediction.deviation is None


@pytest.mark.parametrize("predictor", ["depth", "colour"], indirect=True)
def test_several_draws_are_averaged(predictor: DensePredictor) -> None:
    data, tokenizer = dense_domain(predictor.tokenizer).data, predictor.tokenizer
    (batch,) = dense_eval_batches(open_dense(data, "val"), data, batch_size=8)
    several = DensePredictor(predictor.prior, tokenizer, draws=5, seed=3)
    maps = [tokenizer.decode(codes, batch.images) for codes in several.draw_codes(batch.images, 5)]
    assert not torch.equal(maps[0], maps[1]), "the default sampler draws where there are several"
    assert not torch.equal(several.draw_codes(batch.images, 5), several.draw_codes(batch.images, 5, 1))
    mean = torch.stack(maps).double().mean(0)
    found = several.predict(batch.images)
    assert found.dtype == maps[0].dtype
    torch.testing.assert_close(found.double(), mean.round() if data.task == "colour" else mean, rtol=1e-6, atol=1e-6)
    deviation = several.predict_with_deviation(batch.images)[1]
    assert deviation is not None
    spread = np.stack([one.double().numpy() for one in maps]).std(0)
    np.testing.assert_allclose(deviation.numpy(), np.sqrt((spread**2).mean(1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("predictor", ["depth", "colour"], indirect=True)
def test_deviations_are_files_in_the_maps_units(predictor: DensePredictor, tmp_path: Path) -> None:
    cut = pictures(tmp_path / "in")
    several = DensePredictor(predictor.prior, predictor.tokenizer, draws=3)
    scale, rounding = (1000, 0.00051) if dense_domain(predictor.tokenizer).data.task == "depth" else (1, 0.501)
    predict_source(several, open_source(tmp_path / "in"), PredictOptions(tmp_path / "out", batch_size=3))
    for name, found in zip(cut, several.predict_images(list(cut.values())), strict=True):
        stem = name.replace("/", "-").replace(" ", "-").removesuffix(".png")
        assert found.deviation is not None
        assert found.deviation.shape == cut[name].shape[:2]
        with Image.open(tmp_path / f"out/deviation/{stem}.png") as file:
            np.testing.assert_allclose(np.asarray(file) / scale, found.deviation, atol=rounding)


@pytest.mark.parametrize("predictor", ["depth"], indirect=True)
@pytest.mark.parametrize("sampler", [GREEDY, replace(GREEDY, top_k=50), replace(GREEDY, steps=5)])
def test_draws_differ_whatever_else_the_sampler_says(predictor: DensePredictor, sampler: SamplerConfig) -> None:
    several = DensePredictor(predictor.prior, predictor.tokenizer, sampler=sampler)
    codes = several.draw_codes(torch.zeros(1, 3, 32, 32), 8)
    assert len(set(map(tuple, codes.flatten(1).tolist()))) > 1


@pytest.mark.parametrize("predictor", ["depth"], indirect=True)
def test_each_batch_has_randomness_of_its_own(predictor: DensePredictor, tmp_path: Path) -> None:
    same = np.full((32, 32, 3), 90, np.uint8)
    twins = [Example(image=same, label=None, key=f"{number}.png") for number in range(4)]
    several = DensePredictor(predictor.prior, predictor.tokenizer, draws=2, seed=1)
    for out in ("one", "two"):
        predict_source(several, twins, PredictOptions(tmp_path / out, batch_size=2, depth_format="npy"))
    maps = [np.load(tmp_path / f"one/depth/{number}.npy") for number in range(4)]
    assert len({planes.tobytes() for planes in maps}) == 4
    assert all(np.array_equal(maps[n], np.load(tmp_path / f"two/depth/{n}.npy")) for n in range(4))


@pytest.mark.parametrize("predictor", ["depth"], indirect=True)
def test_images_of_another_kind_get_one_line(predictor: DensePredictor) -> None:
    assert predictor.predict_images([]) == []
    grey, floats = np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3))
    for picture in (grey, floats):
        with pytest.raises(GridcodeError, match=r"an image is uint8 \(H, W, 3\), got"):
            predictor.predict_images([picture])  # type: ignore[list-item]
    with pytest.raises(GridcodeError, match="fit is 'centre'; choose whole or crop"):
        predictor.predict_images([], fit="centre")  # type: ignore[arg-type]


@pytest.mark.parametrize("predictor", ["panoptic"], indirect=True)
def test_segments_are_not_averaged(predictor: DensePredictor) -> None:
    with pytest.raises(GridcodeError, match="label maps of the task panoptic have no mean; set draws=1"):
        DensePredictor(predictor.prior, predictor.tokenizer, draws=2)
    with pytest.raises(GridcodeError, match="at least 1 draw of the code, got draws=0"):
        DensePredictor(predictor.prior, predictor.tokenizer, draws=0)
    with pytest.raises(GridcodeError, match="segments have no mean"):
        dense_domain(predictor.tokenizer).label_map.mean([])


@pytest.mark.parametrize("predictor", TASKS, indirect=True)
@pytest.mark.parametrize("fit", ["whole", "crop"])
def test_files_hold_the_maps_at_the_size_of_what_was_seen(predictor: DensePredictor, fit: str, tmp_path: Path) -> None:
    cut, task = pictures(tmp_path / "in"), dense_domain(predictor.tokenizer).data.task
    options = PredictOptions(tmp_path / "out", fit=fit, batch_size=2)  # type: ignore[arg-type]
    done: list[tuple[int, int]] = []
    source = open_source(tmp_path / "in")
    assert predict_source(predictor, source, options, progress=lambda *line: done.append(line)) == 3
    assert done == [(2, 3), (3, 3)]
    if task == "panoptic":
        content = json.loads((tmp_path / "out/annotations/panoptic_predicted.json").read_text())
        assert [category["name"] for category in content["categories"]][:2] == ["sky", "ground"]
        assert [image["file_name"] for image in content["images"]] == list(cut), "as the images are called"
    images = list(cut.values())  # predicted in the same batches: other shapes may be rounded otherwise
    found = [one for batch in (images[:2], images[2:]) for one in predictor.predict_images(batch, fit=options.fit)]
    for (name, image), prediction in zip(cut.items(), found, strict=True):
        seen, planes = predictor.seen_part(image, options.fit), prediction.planes
        assert planes.shape[1:] == seen.shape[:2] == ((min(image.shape[:2]),) * 2 if fit == "crop" else image.shape[:2])
        stem = name.replace("/", "-").replace(" ", "-").removesuffix(".png")
        if task == "depth":
            stored = read_depth(tmp_path / f"out/depth/{stem}.png", scale=1000, name="a")
            np.testing.assert_allclose(stored, planes, atol=0.00051)
        elif task == "colour":
            with Image.open(tmp_path / f"out/colour/{stem}.png") as file:
                np.testing.assert_array_equal(np.asarray(file), planes.transpose(1, 2, 0))
        else:
            entry = next(one for one in content["annotations"] if one["file_name"] == f"{stem}.png")
            assert sum(info["area"] for info in entry["segments_info"]) == (planes[0] > 0).sum()
        with Image.open(tmp_path / f"out/overlay/{stem}.png") as file:
            assert file.size == (seen.shape[1] * (2 if task == "colour" else 1), seen.shape[0])


def test_written_panoptic_files_are_read_back_as_they_were(tmp_path: Path, tiny: Callable[[Task], DenseRun]) -> None:
    source = open_dense(tiny("panoptic").data, "val")
    maps = [(f"p{n}.png", example.planes) for n, example in enumerate(source)]
    write_maps(tmp_path, iter(maps), tiny("panoptic").data, source.categories)
    (tmp_path / "predicted").mkdir()
    for (name, _), example in zip(maps, source, strict=True):
        Image.fromarray(example.image).save(tmp_path / "predicted" / name)
    back = CocoPanoptic(tmp_path, "predicted")
    assert back.categories == source.categories
    for (_, planes), example in zip(maps, back, strict=True):
        np.testing.assert_array_equal(example.planes[0], planes[0])
        # Ids may be others, segments are not: a segment is all pixels of one class and one instance.
        np.testing.assert_array_equal(
            canonical(*example.planes[:2], most=1000), canonical(planes[0], planes[1], most=1000)
        )


def official(truth: Path, guess: Path) -> dict[int, list[float]]:
    """IoU, TP, FP and FN of each category id, by the rules of COCO's panopticapi, from the files alone."""
    true, predicted = (json.loads(path.read_text()) for path in (truth, guess))
    by_image = {entry["image_id"]: entry for entry in predicted["annotations"]}
    sums: dict[int, list[float]] = {entry["id"]: [0.0, 0, 0, 0] for entry in true["categories"]}
    for entry in true["annotations"]:
        other = by_image[entry["image_id"]]  # an image without prediction is an error there
        g, p = (
            read_ids(path.parents[1] / path.stem / one["file_name"], name="ids")
            for path, one in ((truth, entry), (guess, other))
        )
        listed = {info["id"]: info for info in other["segments_info"]}
        assert set(np.unique(p)) - {0} == set(listed), "segments of PNG and JSON are the same"
        gts = {info["id"]: info for info in entry["segments_info"]}
        hit, found = set(), set()
        for a in gts:
            for b in listed:
                if gts[a]["iscrowd"] or gts[a]["category_id"] != listed[b]["category_id"]:
                    continue
                both = ((g == a) & (p == b)).sum()
                union = (g == a).sum() + (p == b).sum() - both - ((g == 0) & (p == b)).sum()
                if 2 * both > union:
                    sums[gts[a]["category_id"]][0] += both / union
                    sums[gts[a]["category_id"]][1] += 1
                    hit.add(a)
                    found.add(b)
        for b in set(listed) - found:
            crowds = [a for a in gts if gts[a]["iscrowd"] and gts[a]["category_id"] == listed[b]["category_id"]]
            if 2 * (np.isin(g, [0, *crowds]) & (p == b)).sum() <= (p == b).sum():
                sums[listed[b]["category_id"]][2] += 1
        for a in set(gts) - hit:
            sums[gts[a]["category_id"]][3] += not gts[a]["iscrowd"]
    return sums


def test_the_official_tool_matches_what_is_written(tmp_path: Path, tiny: Callable[[Task], DenseRun]) -> None:
    """Ids of categories with gaps and ids of images are the data set's own; extra images do no harm."""
    scenes = open_dense(tiny("panoptic").data, "val")
    assert scenes.categories is not None
    categories = replace(scenes.categories, ids=tuple(200 - 7 * n for n in range(len(scenes.categories.names))))
    truth = [(f"day {n % 2}/{n}.png", example.planes) for n, example in enumerate(scenes)]
    ids = {name: 1000 - n for n, (name, _) in enumerate(truth)}
    write_coco(tmp_path, "val2017", truth, categories, stem=lambda name: name.removesuffix(".png"), image_ids=ids)
    for (name, _), example in zip(truth, scenes, strict=True):
        (tmp_path / "val2017" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(example.image).save(tmp_path / "val2017" / name)
    Image.fromarray(scenes[0].image).save(tmp_path / "val2017/day 0/extra.png")

    source = CocoPanoptic(tmp_path, "val2017")
    assert source.categories == replace(categories, names=categories.names[::-1], things=categories.things[::-1])
    keys = [*map(source.key, range(len(source))), "day 0/extra.png"]
    maps = [np.roll(example.planes, 3 * n, axis=2) for n, example in enumerate(source)] + [scenes[0].planes]
    image_ids = coco_image_ids(tmp_path / "val2017", keys)
    assert image_ids == ids | {"day 0/extra.png": 1001}
    write_maps(
        tmp_path / "out",
        zip(keys, maps, strict=True),
        tiny("panoptic").data,
        source.categories,
        image_ids=image_ids,
    )
    sums = official(
        tmp_path / "annotations/panoptic_val2017.json", tmp_path / "out/annotations/panoptic_predicted.json"
    )
    expected = [iou / (tp + fp / 2 + fn / 2) for iou, tp, fp, fn in sums.values() if tp + fp + fn]
    quality = PanopticQuality(source.categories.things)
    for planes, example in zip(maps, source, strict=False):
        quality.update(torch.from_numpy(planes[None, :2]).long(), torch.from_numpy(example.planes)[None].long())
    found = quality.compute().all
    assert 0.1 < found.pq < 0.99
    assert found.pq == pytest.approx(np.mean(expected))
    assert found.classes == len(expected)


@pytest.mark.parametrize("predictor", ["panoptic"], indirect=True)
def test_predictions_carry_the_ids_of_the_images(predictor: DensePredictor, tmp_path: Path) -> None:
    cut = pictures(tmp_path / "in/val2017")
    listed = [{"id": 70 + n, "file_name": name} for n, name in enumerate(list(cut)[:2])]
    (tmp_path / "in/annotations").mkdir()
    (tmp_path / "in/annotations/image_info_val2017.json").write_text(json.dumps({"images": listed}))
    folder = tmp_path / "in/val2017"
    predict_source(predictor, open_source(folder), PredictOptions(tmp_path / "out", images=folder))
    content = json.loads((tmp_path / "out/annotations/panoptic_predicted.json").read_text())
    assert [entry["image_id"] for entry in content["annotations"]] == [70, 71, 72]
    assert {entry["file_name"]: entry["id"] for entry in content["images"]} == dict(zip(cut, (70, 71, 72), strict=True))


@pytest.mark.parametrize("predictor", ["depth"], indirect=True)
def test_depth_that_no_png_holds_is_told_before(predictor: DensePredictor, tmp_path: Path) -> None:
    data = dense_domain(predictor.tokenizer).data
    dense_domain(predictor.tokenizer).data = replace(data, depth=replace(data.depth, far=80.0))
    with pytest.raises(GridcodeError, match="up to 80 m times 1000 does not fit a 16-bit PNG; set depth_format=npy"):
        predict_source(predictor, [], PredictOptions(tmp_path))
    assert predict_source(predictor, [], PredictOptions(tmp_path, depth_format="npy")) == 0


@pytest.mark.parametrize("letter", ["d", "ü", "漢"])
def test_long_names_are_cut_and_stay_apart(letter: str) -> None:
    size = len(letter.encode())
    whole = file_stem(letter * (200 // size) + ".png")
    assert whole == letter * (200 // size)
    one, other = (file_stem(letter * (251 // size) + end) for end in (".png", "x.png"))
    assert one != other
    assert max(len(stem.encode()) for stem in (one, other)) <= 200
    assert one.startswith(letter * (190 // size))


@pytest.mark.parametrize("predictor", ["depth"], indirect=True)
def test_two_images_of_one_name_are_refused(predictor: DensePredictor, tmp_path: Path) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    twins = [Example(image=image, label=None, key=key) for key in ("a/b.png", "a-b.jpg")]
    with pytest.raises(GridcodeError, match=r"a/b\.png and a-b\.jpg would both be written as a-b; rename one"):
        predict_source(predictor, twins, PredictOptions(tmp_path))
    assert not list(tmp_path.iterdir()), "told before anything is written"


def test_stages_that_do_not_belong_together_are_refused(trained: Callable[[Task], Path]) -> None:
    prior = load_prior(trained("depth") / "prior")
    tokenizer = Tokenizer.from_pretrained(trained("panoptic") / "tokenizer")
    with pytest.raises(GridcodeError, match="learned the tokens of label tokenizer"):
        DensePredictor(prior, tokenizer)
    of_classes = make_prior(MaskGITConfig(width=8, depth=1, heads=1, mlp=8), prior.space)
    with pytest.raises(GridcodeError, match="predicts no label maps from images"):
        DensePredictor(of_classes, tokenizer)
