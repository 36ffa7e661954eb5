"""Settings of the objective: what is refused, and what is left out of a run's description."""

from typing import Any

import pytest
from pydantic import ValidationError

from dbd_ray.config import ObjectiveConfig

TEACHER = {"architecture": "dbdgan_teacher", "backbone": "mobilenetv3_small_050", "widths": [8, 8, 8, 8]}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"adversarial": {"edge_weight": 2}}, "adversarial has no effect with kind=distillation"),
        (
            {"kind": "adversarial", "adversarial": {"consistency_weight": 2}},
            "consistency_weight has no effect without a",
        ),
        (
            {"kind": "adversarial", "adversarial": {"teacher_adversarial_weight": 2}},
            "teacher_adversarial_weight has no effect without",
        ),
        (
            {"kind": "adversarial", "teacher_checkpoints": ["lite"], "adversarial": {"teacher": TEACHER}},
            "the network has one teacher",
        ),
        (
            {
                "kind": "adversarial",
                "adversarial": {
                    "teacher": TEACHER,
                    "distilled_weight": 0,
                    "consistency_weight": 0,
                    "feature_weight": 0,
                },
            },
            "adversarial.teacher teaches nothing",
        ),
        (
            {
                "kind": "adversarial",
                "teacher_checkpoints": ["lite"],
                "adversarial": {"distilled_weight": 0, "consistency_weight": 0, "feature_weight": 0},
            },
            "teacher_checkpoints has no effect",
        ),
    ],
)
def test_a_setting_without_effect_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ObjectiveConfig.model_validate(settings)


def test_a_run_of_the_first_paper_is_described_as_before() -> None:
    assert {"kind", "adversarial"}.isdisjoint(ObjectiveConfig().model_dump())
    assert ObjectiveConfig(kind="adversarial").model_dump()["adversarial"]["edge_weight"] == 1.0
