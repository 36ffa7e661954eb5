"""Promises of the random scenes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from dbd_ray.datasets.scenes import SceneConfig, render_scene
from dbd_ray.errors import ConfigError, PhotoError

SMALL = SceneConfig(size=(48, 64))


def photos(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (80, 100, 3), np.uint8) for _ in range(count)]


@pytest.mark.parametrize("source", ["painted", "arrays", "files"])
def test_a_scene_depends_on_its_seed_and_index_alone(source: str) -> None:
    files = [cv2.imencode(".png", photo)[1].tobytes() for photo in photos()]
    cut = {"painted": None, "arrays": photos(), "files": files}[source]
    forwards = [render_scene(index, seed=7, config=SMALL, photos=cut) for index in range(4)]
    backwards = [render_scene(index, seed=7, config=SMALL, photos=cut) for index in (3, 2, 1, 0)][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(one.photo, other.photo)
        np.testing.assert_array_equal(one.coc_px, other.coc_px)
        np.testing.assert_array_equal(one.depth, other.depth)
        assert one.lens == other.lens


def test_other_seeds_and_indices_give_other_scenes() -> None:
    scenes = [render_scene(index, seed=seed, config=SMALL) for seed, index in ((0, 0), (0, 1), (1, 0))]
    assert len({scene.photo.tobytes() for scene in scenes}) == 3


def test_scenes_keep_their_contract_and_their_limits() -> None:
    for index in range(30):
        scene = render_scene(index, seed=3, config=SMALL)
        assert (scene.photo.shape, scene.photo.dtype) == ((48, 64, 3), np.uint8)
        assert np.isfinite(scene.coc_px).all() and (scene.depth_m > 0).all()
        assert scene.depth.min() == 0 and scene.depth.max() == pytest.approx(1)
        np.testing.assert_array_equal(scene.focus, np.abs(scene.coc_px) < SMALL.focus_threshold_px)


def test_partial_scenes_have_both_classes_and_reach_the_asked_coc() -> None:
    config = SceneConfig(size=(48, 64), all_in_focus_share=0, none_in_focus_share=0, max_coc_px=(5, 9))
    for index in range(30):
        scene = render_scene(index, seed=0, config=config)
        assert 0 < scene.focus.mean() < 1
        assert 5 - 1e-3 <= np.abs(scene.coc_px).max() <= 9 + 1e-3


def test_shares_of_kinds_are_kept() -> None:
    config = SceneConfig(size=(32, 32), all_in_focus_share=0.3, none_in_focus_share=0.2, shapes=(1, 1))
    fractions = np.array([render_scene(index, seed=0, config=config).focus.mean() for index in range(200)])
    assert np.mean(fractions == 1) == pytest.approx(0.3, abs=0.08)
    assert np.mean(fractions == 0) == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize(("kind", "fraction"), [("all_in_focus_share", 1.0), ("none_in_focus_share", 0.0)])
def test_a_share_of_one_makes_every_scene_of_that_kind(kind: str, fraction: float) -> None:
    shares = {"all_in_focus_share": 0.0, "none_in_focus_share": 0.0, kind: 1.0}
    config = SceneConfig(size=(32, 32), **shares)
    assert {render_scene(index, seed=2, config=config).focus.mean() for index in range(20)} == {fraction}


def test_photos_are_what_the_surfaces_are_cut_from() -> None:
    red = [np.full((40, 40, 3), (200, 0, 0), np.uint8)]
    config = SceneConfig(size=(32, 32), painted_share=0)
    assert np.abs(render_scene(0, seed=0, config=config, photos=red).photo.astype(int) - (200, 0, 0)).max() <= 1
    # smaller than the scene: enlarged rather than refused
    tiny = [np.full((8, 8, 3), (200, 0, 0), np.uint8)]
    assert render_scene(0, seed=0, config=config, photos=tiny).photo.shape == (32, 32, 3)


def test_real_photos_blur_where_the_mask_says(bsds500: Path) -> None:
    files = [path.read_bytes() for path in sorted((bsds500 / "train").glob("*.jpg"))[:8]]
    config = SceneConfig(
        size=(128, 128), all_in_focus_share=0, none_in_focus_share=0, painted_share=0, max_coc_px=(10, 20)
    )
    sharp, blurred = [], []
    for index in range(12):
        scene = render_scene(index, seed=0, config=config, photos=files)
        detail = np.abs(cv2.Laplacian(scene.photo, cv2.CV_32F)).mean(axis=2)
        sharp.append(detail[scene.focus].mean())
        blurred.append(detail[np.abs(scene.coc_px) > 5].mean())
    assert np.mean(sharp) > 2 * np.mean(blurred)


def test_a_broken_source_photo_is_an_error_with_its_reason() -> None:
    with pytest.raises(PhotoError, match="empty_file"):
        render_scene(0, seed=0, config=SMALL, photos=[b""])


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match="photos"):
        render_scene(0, seed=0, config=SMALL, photos=[])
    with pytest.raises(ConfigError, match="negative"):
        render_scene(-1, seed=0, config=SMALL)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": (8, 100)},
        {"max_coc_px": (9, 5)},
        {"max_coc_px": (1, 5)},
        {"shapes": (3, 1)},
        {"focal_length_mm": (0, 50)},
        {"focus_distance": (1, 5)},
        {"all_in_focus_share": 0.7, "none_in_focus_share": 0.7},
        {"lenses": 3},
    ],
)
def test_settings_that_cannot_be_rendered_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SceneConfig.model_validate(settings)
