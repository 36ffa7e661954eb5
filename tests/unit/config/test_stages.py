"""Settings of preparing and evaluating: what is refused, and what is not."""

from typing import Any

import pytest
from pydantic import ValidationError

from dbd_ray.config import EvaluateConfig, PrepareConfig, build, parse_overrides, train_config


@pytest.mark.parametrize(
    ("kind", "settings", "complaint"),
    [
        (PrepareConfig, {}, "give either root"),
        (PrepareConfig, {"root": "r", "scenes": 3}, "give either root"),
        (PrepareConfig, {"root": "r", "photos": "p"}, "photos has no effect with root"),
        (PrepareConfig, {"scenes": 3, "layout": "cuhk"}, "layout has no effect with scenes"),
        (PrepareConfig, {"scenes": 3, "inverted": ["a"], "exclude": ["b"]}, "inverted, exclude has no effect with sc"),
        (PrepareConfig, {"root": "r", "seed": 0}, "seed has no effect with root"),
        (PrepareConfig, {"root": "r", "test_fraction": 0}, "test_fraction has no effect with root"),
        (PrepareConfig, {"scenes": 3, "scene": {"size": [64, 64]}}, "scene.size has no effect"),
        (PrepareConfig, {"scenes": 3, "validation_fraction": 0.6, "test_fraction": 0.5}, "together be at most 1"),
        (EvaluateConfig, {"model": "m"}, "give either root"),
        (EvaluateConfig, {"model": "m", "prepared": "p", "polarity": "blur"}, "polarity has no effect with prepared"),
        (EvaluateConfig, {"model": "m", "root": "r", "split": "val"}, "split=val exists only in prepared"),
        (EvaluateConfig, {"model": "m", "root": "r", "promote": True, "against": "n"}, "compares with the champion"),
        (EvaluateConfig, {"model": "m", "root": "r", "significance": 0.1}, "significance has no effect without"),
        (EvaluateConfig, {"model": "m", "root": "r", "against": "n", "registered_model": "x"}, "without promote"),
        (EvaluateConfig, {"model": "m", "prepared": "p", "exclude": ["a"]}, "exclude has no effect with prepared"),
        (EvaluateConfig, {"model": "m", "root": "r", "layout": "stacks"}, "layout=stacks is one of several sets"),
        (EvaluateConfig, {"model": "m", "root": "r", "sets": {"a": {"root": "r"}}}, "root has no effect with sets"),
        (EvaluateConfig, {"model": "m", "promote": True, "sets": {"a": {"root": "r"}}}, "promote has no effect with"),
        (EvaluateConfig, {"model": "m", "sets": {"a": {}}}, "give either root"),
        (EvaluateConfig, {"model": "m", "sets": {"a/b": {"root": "r"}}}, "sets"),
        (
            EvaluateConfig,
            {"model": "m", "sets": {"a": {"root": "r", "layout": "stacks", "split": "train"}}},
            "split has no effect with layout=stacks",
        ),
        (EvaluateConfig, {"model": "m", "root": "r", "promote": True, "split": "train"}, "were not trained on"),
        (EvaluateConfig, {"model": "m", "root": "r", "promote": True, "registered_model": "a@b"}, "registered_model"),
    ],
)
def test_stages_refuse_settings_that_do_not_belong_together(
    kind: Any, settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        kind(out="o", **settings)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("size", (0, 0)),
        ("size", (-5, -5)),
        ("size", (320, 31)),
        ("size", (100_000, 320)),
        ("seed", -1),
        ("test_fraction", -0.1),
        ("validation_fraction", 1.5),
        ("photos", ""),
        ("out", ""),
    ],
)
def test_preparing_refuses_numbers_that_nothing_can_be_made_with(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        PrepareConfig.model_validate({"scenes": 3, "out": "o", setting: value})


@pytest.mark.parametrize("said", [{"size": 96}, {"size": [96, 96]}, parse_overrides(["size=96"])])
def test_one_number_is_height_and_width(said: dict[str, Any]) -> None:
    assert build(PrepareConfig, {"scenes": 3, "out": "o", **said}, where="test").size == (96, 96)
    run = {"name": "r", "data": ["d"], "input_size": said["size"]}
    assert train_config(run, where="test").input_size == (96, 96)


def test_settings_that_are_stated_as_they_are_anyway_are_no_mistake() -> None:
    assert PrepareConfig(scenes=3, out="o", allow_constant_masks=False, size=(32, 8192)).size == (32, 8192)
    assert PrepareConfig(root="r", out="o", seed=None, scene={}).seed is None
