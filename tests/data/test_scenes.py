from __future__ import annotations

import numpy as np
import pytest

from gridcode.data.scenes import shapes as solids
from gridcode.data.scenes import source as module
from gridcode.data.scenes.layout import draw_layout
from gridcode.data.scenes.render import render
from gridcode.data.scenes.source import SHAPES, SceneBatch, Scenes, render_scene, render_scenes
from gridcode.data.scenes.trace import groups_of, light_points, lit, surface_points, trace
from gridcode.errors import GridcodeError

FIELDS = ("rgb", "labels", "depth", "semantic", "instance")


@pytest.fixture(scope="module")
def batch() -> SceneBatch:
    return render_scenes(7, range(400), 32)


def same(a: SceneBatch, b: SceneBatch) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


class TestReproducible:
    def test_same_seed_same_bits(self) -> None:
        assert same(render_scenes(3, range(20), 32), render_scenes(3, range(20), 32))

    def test_another_seed_another_scene(self) -> None:
        assert not np.array_equal(render_scene(3, 0, 32).rgb, render_scene(4, 0, 32).rgb)

    def test_a_scene_is_the_same_alone_and_in_any_batch(self) -> None:
        order = [17, 3, 0, 41, 3, 8, 2**40, 5]
        together = render_scenes(11, order, 32)
        for place, index in enumerate(order):
            alone = render_scene(11, index, 32)
            assert np.array_equal(alone.rgb, together.rgb[place])
            assert np.array_equal(alone.depth, together.depth[place])
            assert np.array_equal(alone.instance, together.instance[place])
            assert np.array_equal(alone.semantic, together.semantic[place])
            assert alone.label == together.labels[place]

    def test_neither_threads_nor_chunks_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = render_scenes(0, range(50), 32)
        for threads, block, pixels in [(1, 7, 1024), (4, 1000, 5000), (2, 23, 10**6)]:
            monkeypatch.setattr(module, "_THREADS", threads)
            monkeypatch.setattr(module, "_BLOCK", block)
            monkeypatch.setattr(module, "_CHUNK_PIXELS", pixels)
            assert same(render_scenes(0, range(50), 32), expected)

    def test_size_changes_neither_label_nor_layout(self) -> None:
        # Pixel centres of 32 pixels are those of every third of 96.
        small, large = render_scenes(5, range(40), 32), render_scenes(5, range(40), 96)
        assert np.array_equal(small.labels, large.labels)
        fine = large.instance[:, 1::3, 1::3]
        assert (small.instance == fine).mean() > 0.999
        shared = (small.instance == fine) & (small.instance > 0)
        np.testing.assert_allclose(small.depth[shared], large.depth[:, 1::3, 1::3][shared], rtol=1e-3)


class TestLabels:
    @pytest.mark.parametrize(("seed", "start"), [(0, 0), (9, 35)])
    def test_classes_are_exactly_balanced(self, seed: int, start: int) -> None:
        labels = render_scenes(seed, range(start, start + 100), 8).labels
        assert np.bincount(labels, minlength=len(SHAPES)).tolist() == [20] * len(SHAPES)

    def test_class_order_is_not_a_cycle(self) -> None:
        labels = render_scenes(0, range(100), 8).labels.reshape(20, 5)
        assert len({tuple(row) for row in labels.tolist()}) > 5

    def test_main_object_has_the_label_and_most_pixels(self, batch: SceneBatch) -> None:
        areas = np.stack([(batch.instance == k).sum(axis=(1, 2)) for k in (1, 2, 3)], axis=1)
        assert (areas[:, 0] > areas[:, 1:].max(axis=1)).all()
        assert areas[:, 0].min() > 0.05 * 32 * 32
        for scene in (batch[i] for i in range(len(batch))):
            assert set(scene.semantic[scene.instance == 1].tolist()) == {scene.label + 2}

    def test_instances_and_semantics_agree(self, batch: SceneBatch) -> None:
        assert ((batch.instance > 0) == (batch.semantic >= 2)).all()
        assert batch.semantic.max() == len(SHAPES) + 1
        for instance, semantic in zip(batch.instance, batch.semantic, strict=True):
            ids = np.unique(instance[instance > 0]).tolist()
            assert ids == list(range(1, len(ids) + 1))
            assert all(len(np.unique(semantic[instance == k])) == 1 for k in ids)

    def test_one_two_and_three_objects_occur(self, batch: SceneBatch) -> None:
        assert set(batch.instance.max(axis=(1, 2)).tolist()) == {1, 2, 3}

    def test_depth_is_positive_except_in_the_sky(self, batch: SceneBatch) -> None:
        assert batch.depth.dtype == np.float32
        assert ((batch.depth > 0) == (batch.semantic > 0)).all()
        assert (batch.semantic == 0).any()
        objects = batch.depth[batch.instance > 0]
        assert 1 < objects.min() < objects.max() < 10


class TestGeometry:
    def test_depth_of_spheres_and_floor_is_the_closed_form(self) -> None:
        size, indices = 48, np.arange(60)
        layout = draw_layout(2, indices)
        batch = render_scenes(2, indices.tolist(), size)
        step = (np.arange(size) + 0.5) / size * 2 - 1
        for i in np.flatnonzero(layout.shape[:, 0] == solids.SPHERE):
            x, y = np.meshgrid(layout.tangent[i] * step, -layout.tangent[i] * step)
            c, s = np.cos(layout.pitch[i]), np.sin(layout.pitch[i])
            d = np.stack([x, c + y * s, y * c - s], axis=-1)
            offset = layout.eye[i] - layout.center[i, 0]
            a, b = (d * d).sum(-1), d @ offset
            root = np.sqrt(np.maximum(b * b - a * (offset @ offset - layout.scale[i, 0] ** 2), 0))
            ball, floor = batch.instance[i] == 1, batch.semantic[i] == 1
            assert ball.any()
            assert floor.any()
            np.testing.assert_allclose(batch.depth[i][ball], ((-b - root) / a)[ball], rtol=2e-3)
            np.testing.assert_allclose(batch.depth[i][floor], (-layout.eye[i, 2] / d[..., 2])[floor], rtol=1e-3)

    def test_shadow_of_a_lone_sphere_is_the_closed_form(self) -> None:
        layout = draw_layout(2, np.arange(100))
        alone = np.flatnonzero((layout.shape[:, 0] == solids.SPHERE) & ~layout.present[:, 1])[:4]
        assert len(alone)
        for i in alone:
            scene = layout.part(i, i + 1)
            groups, lights = groups_of(scene), light_points(scene)
            view, hits = trace(scene, groups, 24)
            points = surface_points(view, hits)
            reached = lit(groups, view, points, lights).reshape(9, -1)
            to = np.stack([part.reshape(9, -1) for part in points], axis=-1) - scene.center[0, 0]
            along = (to * lights[0, :, None]).sum(-1)
            gap = np.sqrt((to * to).sum(-1) - along * along) - scene.scale[0, 0]
            floor = (view.owner.reshape(9, -1) == 0) & (np.abs(gap) > 1e-3)
            assert np.array_equal(reached[floor], ((gap > 0) | (along > 0))[floor])
            assert not reached[floor].all()

    def test_objects_stand_on_the_floor_apart_from_each_other(self) -> None:
        layout = draw_layout(1, np.arange(300))
        rng = np.random.default_rng(0)
        cloud = rng.uniform(-1.4, 1.4, (60_000, 3))
        for shape in range(len(SHAPES)):
            solid = cloud[inside(shape, cloud)]
            for scene, slot in list(zip(*np.nonzero(layout.shape == shape), strict=True))[:25]:
                heights = layout.scale[scene, slot] * (solid @ layout.rotation[scene, slot, 2])
                lowest = heights.min() + layout.center[scene, slot, 2]
                assert -1e-9 < lowest < 0.12 * layout.scale[scene, slot] + 1e-9
        radius = layout.scale * solids.BOUNDS[layout.shape]
        for a, b in [(0, 1), (0, 2), (1, 2)]:
            both = layout.present[:, a] & layout.present[:, b]
            gap = np.linalg.norm(layout.center[:, a] - layout.center[:, b], axis=1)
            assert (gap > radius[:, a] + radius[:, b])[both].all()


def inside(shape: int, p: np.ndarray) -> np.ndarray:
    """The solids by their definitions, written apart from the intersections."""
    x, y, z = p[..., 0], p[..., 1], p[..., 2]
    ring = np.hypot(x, y)
    slope = solids.CONE_RADIUS / (2 * solids.CONE_HALF)
    return (
        x**2 + y**2 + z**2 < 1,
        np.abs(p).max(axis=-1) < solids.CUBE_HALF,
        (ring < solids.CYLINDER_RADIUS) & (np.abs(z) < solids.CYLINDER_HALF),
        (ring < slope * (solids.CONE_HALF - z)) & (z > -solids.CONE_HALF),
        np.hypot(ring - solids.TORUS_RADIUS, z) < solids.TORUS_TUBE,
    )[shape]


@pytest.mark.parametrize("shape", range(len(SHAPES)), ids=SHAPES)
class TestSolids:
    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(1)
        origin = rng.normal(size=(400, 3))
        origin *= 3 / np.linalg.norm(origin, axis=1, keepdims=True)
        direction = (rng.uniform(-0.8, 0.8, (400, 3)) - origin) * rng.uniform(0.2, 3, (400, 1))
        return origin, direction

    def test_first_hit_is_where_marching_goes_inside(self, shape: int) -> None:
        origin, direction = self.rays()
        t = solids.intersect(shape, *(tuple(a.T.astype(np.float32)) for a in (origin, direction)))
        assert t.dtype == np.float32
        length = np.linalg.norm(direction, axis=1)
        steps = np.arange(0, 6, 0.004)
        walk = steps[None, :] / length[:, None]
        within = inside(shape, origin[:, None] + walk[..., None] * direction[:, None])
        hits = within.any(axis=1)
        # A ray may graze the solid between two steps, or miss it by the walk's tolerance.
        assert (hits == np.isfinite(t)).mean() > 0.98
        both = hits & np.isfinite(t)
        assert both.sum() > 100
        first = steps[within.argmax(axis=1)][both]
        error = np.abs(t[both] * length[both] - first)
        assert np.quantile(error, 0.98) < 0.006

    def test_normals_are_unit_and_point_outward(self, shape: int) -> None:
        origin, direction = self.rays()
        t = solids.intersect(shape, *(tuple(a.T.astype(np.float32)) for a in (origin, direction)))
        hit = np.isfinite(t)
        point = origin[hit] + t[hit, None] * direction[hit]
        normal = np.stack(solids.normal(shape, tuple(point.T.astype(np.float32))), axis=1)
        np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, rtol=1e-3)
        assert inside(shape, point - 0.02 * normal).mean() > 0.97
        assert not inside(shape, point + 0.02 * normal).any()

    def test_bounding_ball_holds_the_solid(self, shape: int) -> None:
        cloud = np.random.default_rng(2).uniform(-1.5, 1.5, (50_000, 3))
        reach = np.linalg.norm(cloud[inside(shape, cloud)], axis=1).max()
        assert 0.9 * solids.BOUNDS[shape] < reach <= solids.BOUNDS[shape]


class TestImages:
    def test_images_use_the_range_without_burning_out(self, batch: SceneBatch) -> None:
        assert batch.rgb.min() < 40
        assert batch.rgb.max() > 230
        assert (batch.rgb == 255).mean() < 0.01

    def test_edges_are_smooth(self) -> None:
        layout = draw_layout(0, np.arange(30))
        coarse = render(layout, 32).rgb.astype(float)
        fine = render(layout, 128).rgb.astype(float).reshape(30, 32, 4, 32, 4, 3).mean(axis=(2, 4))
        assert np.abs(coarse - fine).mean() < 1.0


class TestSource:
    def test_items_are_the_scenes_of_the_range(self) -> None:
        scenes = Scenes(seed=4, start=123, count=6, size=24)
        assert (len(scenes), scenes.classes, scenes.name) == (6, SHAPES, "scenes")
        example = scenes[2]
        scene = render_scene(4, 125, 24)
        assert example.key == "scene-4-000125"
        assert example.label == scene.label
        assert np.array_equal(example.image, scene.rgb)
        assert np.array_equal(scenes.scene(2).depth, scene.depth)

    def test_no_scenes(self) -> None:
        assert len(Scenes(seed=0, start=0, count=0, size=32)) == 0
        assert render_scenes(0, [], 32).depth.shape == (0, 32, 32)

    @pytest.mark.parametrize("index", [-1, 3])
    def test_an_index_outside_the_range(self, index: int) -> None:
        with pytest.raises(IndexError, match=f"scene {index} of 3"):
            Scenes(seed=0, start=0, count=3, size=8)[index]

    @pytest.mark.parametrize("size", [0, 7, 513])
    def test_a_bad_size_is_refused(self, size: int) -> None:
        with pytest.raises(GridcodeError, match=f"scenes of {size} pixels; choose a size from 8 to 512"):
            render_scenes(0, [0], size)

    def test_bad_numbers_are_refused(self) -> None:
        with pytest.raises(GridcodeError, match=r"not -1; choose another"):
            render_scene(-1, 0, 32)
        with pytest.raises(GridcodeError, match=r"not -5; choose another"):
            render_scenes(0, [3, -5], 32)
        with pytest.raises(GridcodeError, match="cannot render -2 scenes"):
            Scenes(seed=0, start=0, count=-2, size=32)
