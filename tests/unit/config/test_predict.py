"""Settings of `dbd-ray predict`: the options' defaults, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import ValidationError

from dbd_ray.cli import app
from dbd_ray.config import PredictConfig, TeachConfig, build
from dbd_ray.errors import ConfigError
from dbd_ray.images.tiles import MOST_TILES
from dbd_ray.names import MAX_PIXELS


def test_options_that_are_not_given_are_the_settings_defaults() -> None:
    (command,) = (command for name, command in typer.main.get_command(app).commands.items() if name == "predict")  # type: ignore[attr-defined]
    options = {str(one.name): one.default for one in command.params if one.default is not None}
    given = {name: value for name, value in options.items() if name in PredictConfig.model_fields}
    assert {"save", "refine", "tile", "polarity", "batch_size", "device", "engine"} <= given.keys()
    assert build(PredictConfig, {**given, "out": "o"}, where="predict") == PredictConfig(out=Path("o"))


def test_limits_are_those_of_the_code_that_they_are_given_to() -> None:
    assert PredictConfig(out=Path("o")).max_pixels == TeachConfig(teacher="t", data="d").max_pixels == MAX_PIXELS
    assert PredictConfig(out=Path("o"), tile=MOST_TILES).tile == MOST_TILES
    with pytest.raises(ValidationError, match="tile"):
        PredictConfig(out=Path("o"), tile=MOST_TILES + 1)


def test_results_may_be_named_in_one_text() -> None:
    assert PredictConfig.model_validate({"out": "o", "save": " focus, json,"}).save == ("focus", "json")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"save": "map"}, "save: map cannot be saved; choose of focus, overlay, mask, depth, json"),
        (
            {"save": ["focus", "masks", "video"]},
            "save: masks, video cannot be saved; choose of focus, overlay, mask, depth, json",
        ),
        ({"save": ()}, "save: nothing cannot be saved; choose of focus, overlay, mask, depth, json"),
        ({"save": " ,"}, "save: nothing cannot be saved; choose of focus, overlay, mask, depth, json"),
        ({"refine": "sharp"}, "refine: 'sharp' is unknown, choose one of guided, bilinear"),
        ({"polarity": "x"}, "polarity: 'x' is unknown, choose one of focus, blur"),
        (
            {"engine": "warp"},
            "engine: 'warp' is unknown, choose one of auto, eager, fused, compiled, onnx, openvino",
        ),
        (
            {"polarity": "blur", "save": "overlay,json"},
            "polarity: blur has no effect, for no focus maps are saved: add focus to save",
        ),
        (
            {"threshold": 0.7},
            "threshold: has no effect, for no masks are saved: add mask to save",
        ),
        ({"margin": -4}, "margin: has no effect, for no masks are saved: add mask to save"),
        ({"layout": "colmap"}, "layout: has no effect, for no masks are saved: add mask to save"),
        ({"orientation": "stored"}, "orientation: has no effect, for no masks are saved: add mask to save"),
        ({"save": "mask", "layout": "meshlab"}, "layout: 'meshlab' is unknown, choose one of colmap, nerfstudio"),
        ({"save": "mask", "orientation": "x"}, "orientation: 'x' is unknown, choose one of displayed, stored"),
        (
            {"save": "mask", "layout": "colmap", "polarity": "blur"},
            "polarity: colmap uses what is white in a mask: leave blur out, or layout",
        ),
        ({"out": ""}, "out: an empty path names no place; write . for the current folder"),
        (
            {"out": Path("s3://bucket/maps")},
            "out: s3:/bucket/maps is an address: this command writes files of this machine, give a path",
        ),
        (
            {"out": "s3://me:s3cr3t@bucket"},
            "out: s3://me:***@bucket is an address: this command writes files of this machine, give a path",
        ),
        ({"tile": 2, "save": "focus,depth"}, "save: tile=2 gives no depth; leave depth out, or tile"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(PredictConfig, {"out": "o", **settings}, where="predict")
    assert str(caught.value) == message


@pytest.mark.parametrize("save", [None, 3, b"focus", [1]])
def test_what_is_no_list_of_results_is_told_as_a_setting(save: Any) -> None:
    with pytest.raises(ConfigError, match="save"):
        build(PredictConfig, {"out": "o", "save": save}, where="predict")
