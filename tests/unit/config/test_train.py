"""Settings of a training run: recipes, and what is refused."""

import itertools

import pytest
from pydantic import ValidationError

from dbd_ray.config import (
    RECIPES,
    AugmentConfig,
    NetworkConfig,
    OptimizerConfig,
    TrainConfig,
    load_train_config,
)
from dbd_ray.errors import ConfigError

NEEDED = ("name=a-run", "data=[prepared]")


def _load(*overrides: str) -> TrainConfig:
    return load_train_config(None, [*NEEDED, *overrides])


def test_the_paper_recipe_is_what_the_authors_did() -> None:
    config = _load("recipe=paper")
    assert (config.epochs, config.batch_size) == (60, 6)
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.momentum) == ("sgd", 0.005, 0.9)
    assert (optimizer.schedule, optimizer.weight_decay, optimizer.clip_norm) == ("poly", 5e-4, None)
    assert (config.objective.bce, config.objective.depth_weight, config.objective.iou_weight) == ("weighted", 0.1, 0)
    assert config.augment == AugmentConfig(flip=True)
    assert config.ema_decay is None


def test_without_a_recipe_the_modern_one_applies() -> None:
    assert _load() == _load("recipe=modern")
    assert _load().ema_decay == 0.998
    assert _load().optimizer.name == "adamw"


def test_numbers_may_be_written_in_scientific_notation_and_null_takes_a_setting_back() -> None:
    config = _load("optimizer.lr=1e-4", "ema_decay=null")  # to YAML 1e-4 is text
    assert config.optimizer.lr == 1e-4
    assert config.ema_decay is None


@pytest.mark.parametrize(
    ("recipe", "srfb", "sab", "depth"),
    itertools.product(RECIPES, ("srfb", "rfb", "none"), (True, False), (True, False)),
)
def test_every_variant_survives_being_written_and_read_again(recipe: str, srfb: str, sab: bool, depth: bool) -> None:
    weight = 0.1 if depth else 0
    variant = (f"network.srfb={srfb}", f"network.sab={sab}", f"network.depth={depth}")
    config = _load(f"recipe={recipe}", *variant, f"objective.depth_weight={weight}")
    assert TrainConfig.model_validate(config.model_dump()) == config
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        _load().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("epoch=3", "epoch"),
        ("optimizer.momentumm=0.9", "optimizer.momentumm"),
        ("network.reduction=0", "network.reduction"),
        ("network.srfb=big", "network.srfb"),
        ("network.mean=[1, 2]", "network.mean.2"),
        ("optimizer.lr=0", "optimizer.lr"),
        ("optimizer.lr=fast", "optimizer.lr"),
        ("optimizer.lr=.inf", "optimizer.lr"),
        ("optimizer.clip_norm=.nan", "optimizer.clip_norm"),
        ("optimizer=null", "optimizer"),
        ("data=prepared", "data"),
        ("data=[]", "data"),
        ("seed=-1", "seed"),
        ("ema_decay=1", "ema_decay"),
        ("shares={rendered: 1}", "shares.rendered"),
        ("shares={rendered: -0.1}", "shares.rendered"),
        ("rendered_share=0.1", "rendered_share"),
        ("augment.jpeg_quality=[90, 40]", "augment"),
        ("workers.gpu=some", "workers.gpu"),
        ("precision=float16", "precision"),
        ("name=../elsewhere", "name"),
        ("name=a/b", "name"),
        ("name=", "name"),
        ("name=''", "name"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(override: str, field: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?m)^  {field.replace('.', '[.]')}(\.\w+)*: "):
        _load(override)


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["network.srfb=none", "network.branches=3"], "branches has no effect with srfb=none"),
        (["optimizer.momentum=0.9"], "momentum has no effect with adamw: set it to null"),
        (["augment.jpeg_probability=0", "augment.jpeg_quality=[10, 20]"], "jpeg_quality has no effect"),
        (["network.depth=false"], "objective.depth_weight has no effect with network.depth=false"),
        (
            ["augment.paste_probability=1"],
            r"augment\.paste_probability=1 leaves no depth to learn from.*lower it, or set",
        ),
        (["epochs=2", "optimizer.warmup_epochs=2"], "optimizer.schedule has no effect when all 2 epochs are warm-up"),
        (["network.mean=[0, 0, 0]"], "mean and std belong together"),
        (["workers.count=[2, 2]"], r"count=\[2, 2\]: write \[fewest, most\] in rising order"),
        (["workers.sync_batchnorm=true"], "sync_batchnorm has no effect with one worker"),
        (["workers={count: 2, gpu: false, sync_batchnorm: true}"], "sync_batchnorm: torch synchronises batch norms on"),
        (
            ["batch_size=6", "workers={count: [2, 4], sync_batchnorm: true}", "micro_batch_size=1"],
            r"workers\.sync_batchnorm: with 4 workers some would have no photo of a batch of 6 in one of 2 pass",
        ),
        (
            ["batch_size=6", "workers.count=[2, 4]", "micro_batch_size=3"],
            "micro_batch_size=3 has no effect: no worker's",
        ),
        (["ingest=cached", "cache_limit_gib=1"], "cache_limit_gib has no effect with ingest=cached"),
        (["shares={rendered: 0.5, sharp: 0.5}"], "shares must together leave room for other sources"),
        (["network.width=32"], "width has no effect with architecture=depth_distillation"),
        (["network.architecture=lite", "network.reduction=8"], "reduction has no effect with architecture=lite"),
        (["network.architecture=lite", "network.srfb=rfb"], "srfb has no effect with architecture=lite"),
        (["network.architecture=lite", "network.srfb=none"], "srfb has no effect with architecture=lite"),
    ],
)
def test_a_setting_without_effect_is_an_error(overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        _load(*overrides)


def test_changing_the_paper_recipe_to_adamw_says_how() -> None:
    with pytest.raises(ConfigError, match="set it to null"):
        _load("recipe=paper", "optimizer.name=adamw")
    assert _load("recipe=paper", "optimizer.name=adamw", "optimizer.momentum=null").optimizer.momentum is None


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        _load("optimizer.lr=-1", "batch_size=0", "colour=1")
    assert all(f"\n  {field}: " in str(error.value) for field in ("optimizer.lr", "batch_size", "colour"))


@pytest.mark.parametrize("recipe", ["fast", "[paper]", "null", "{a: b}"])
def test_an_unknown_recipe_is_refused_with_the_known_ones(recipe: str) -> None:
    with pytest.raises(ConfigError, match=r"(?m)^  recipe: .*choose one of paper, modern"):
        _load(f"recipe={recipe}")


def test_reading_a_configuration_leaves_the_recipes_as_they_are() -> None:
    before = str(RECIPES)
    _load("augment.flip=false", "optimizer.lr=0.5")
    assert str(RECIPES) == before


def test_defaults_of_each_part_have_no_setting_without_effect() -> None:
    assert NetworkConfig(srfb="none").branches == 4
    assert NetworkConfig(width=64, branches=3).architecture == "depth_distillation"
    assert NetworkConfig(architecture="lite", width=88, branches=2, reduction=4, srfb="srfb").sab
    assert OptimizerConfig().momentum is None
    assert AugmentConfig(jpeg_quality=(40, 95)).jpeg_probability == 0


TAUGHT = "objective.teacher_checkpoints=[a-model]"


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["objective.teacher_weight=0.5"], "teacher_weight has no effect without teacher_checkpoints"),
        (["objective.feature_weight=1"], "feature_weight has no effect without teacher_checkpoints"),
        (["objective.teacher_scales=[0.5, 1]"], "teacher_scales has no effect without teacher_checkpoints"),
        (["objective.teacher_flip=true"], "teacher_flip has no effect without teacher_checkpoints"),
        ([TAUGHT], "teacher_checkpoints has no effect: set teacher_weight or feature_weight above 0"),
        ([TAUGHT, "objective.feature_weight=1", "objective.teacher_flip=true"], "no effect with teacher_weight=0"),
        ([TAUGHT, "objective.feature_weight=1", "objective.teacher_scales=[2]"], "no effect with teacher_weight=0"),
        (["objective={teacher_checkpoints: [a, b], feature_weight: 1}"], "all but the first have no effect"),
        ([TAUGHT, "objective.teacher_weight=1.1"], r"objective\.teacher_weight: "),
        ([TAUGHT, "objective.teacher_weight=1", "objective.teacher_scales=[0.4]"], r"objective\.teacher_scales\.0: "),
        ([TAUGHT, "objective.teacher_weight=1", "objective.teacher_scales=[]"], r"objective\.teacher_scales: "),
        (["objective.teacher_checkpoints=a-model"], r"objective\.teacher_checkpoints: "),
    ],
)
def test_teachers_and_their_settings_are_refused_without_each_other(overrides: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        _load(*overrides)


def test_one_checkpoint_may_teach_at_several_scales() -> None:
    config = _load(TAUGHT, "objective.teacher_weight=0.5", "objective.teacher_scales=[0.75, 1, 1.5]")
    assert config.objective.teacher_scales == (0.75, 1.0, 1.5)
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


def test_a_run_without_teachers_is_written_as_before_there_were_any() -> None:
    before = {"bce", "depth_weight", "iou_weight", "l1_weight", "side_weight"}
    assert set(_load().model_dump(mode="json")["objective"]) == before
    taught = _load(TAUGHT, "objective.teacher_weight=1").model_dump(mode="json")["objective"]
    assert taught.keys() - before == {name for name in taught if name.startswith("teacher_")} | {"feature_weight"}
    assert len(taught) == len(before) + 5
