"""Files of settings, and what is written over them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dbd_ray
from dbd_ray.config import load_train_config, merge, parse_overrides
from dbd_ray.config.settings import read_yaml
from dbd_ray.errors import ConfigError


def test_overrides_win_over_the_file_and_the_file_over_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("name: a-run\ndata: [prepared]\nrecipe: paper\nepochs: 3\noptimizer: {lr: 0.5}\n")
    config = load_train_config(path, ["optimizer.lr=0.25", "optimizer.lr=0.125", "workers={cpus: 2}"])
    assert config.optimizer.lr == 0.125
    assert config.optimizer.momentum == 0.9
    assert config.epochs == 3
    assert config.workers.cpus == 2
    assert load_train_config(str(path)).optimizer.lr == 0.5


def test_an_error_names_the_file_and_the_overrides(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("name: a-run\ndata: [prepared]\n")
    with pytest.raises(ConfigError) as error:
        load_train_config(path, ["epochs=0"])
    assert str(path) in str(error.value)
    assert "--set epochs=0" in str(error.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"- a\n- b\n", "must hold a mapping of settings, found list"),
        (b"", "must hold a mapping of settings, found NoneType"),
        (b"a: [1\n", "not valid YAML"),
        (b"a: \xff\xfe\n", "not valid YAML"),
        (b"a: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=complaint) as error:
        load_train_config(path)
    assert str(path) in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read") as error:
            load_train_config(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("override", ["epochs", "=3", "", "epochs: 3"])
def test_an_override_without_name_or_value_says_how_to_write_it(override: str) -> None:
    with pytest.raises(ConfigError, match="write it as name=value"):
        parse_overrides([override])


def test_an_override_that_is_no_yaml_is_quoted() -> None:
    with pytest.raises(ConfigError, match=r"--set data=\[a: the value is not valid YAML"):
        parse_overrides(["data=[a"])


def test_values_of_overrides_are_yaml_and_may_hold_equals_signs() -> None:
    parsed = parse_overrides(["a.b=1", "a.c=[x, y]", "d=k=v", "e=null", "f={g: true}"])
    assert parsed == {"a": {"b": 1, "c": ["x", "y"]}, "d": "k=v", "e": None, "f": {"g": True}}


def test_merging_changes_neither_side() -> None:
    base: dict[str, Any] = {"a": {"b": 1, "c": 2}, "d": [1]}
    over: dict[str, Any] = {"a": {"b": 3}, "d": [2]}
    assert merge(base, over) == {"a": {"b": 3, "c": 2}, "d": [2]}
    assert base == {"a": {"b": 1, "c": 2}, "d": [1]}
    assert over == {"a": {"b": 3}, "d": [2]}


@pytest.mark.parametrize("value", ["2024-02-30", "0x_", "[" * 5000], ids=lambda value: value[:10])
def test_what_only_looks_like_a_value_is_no_yaml(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="the value is not valid YAML"):
        parse_overrides([f"name={value}"])
    (tmp_path / "settings.yaml").write_text(f"name: {value}")
    with pytest.raises(ConfigError, match=r"settings\.yaml: not valid YAML"):
        read_yaml(tmp_path / "settings.yaml")


def test_settings_and_keys_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("out: Grüße aus 京都", encoding="utf-8")
    (tmp_path / "keys.txt").write_text("# Schlüssel\n0123456789abcdef\n", encoding="utf-8-sig")
    code = (
        "from dbd_ray.config.settings import read_yaml\n"
        "from dbd_ray.serving.keys import load_keys\n"
        "print(ascii(read_yaml('settings.yaml')), bool(load_keys('keys.txt')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(dbd_ray.__file__).parents[1])}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == f"{ {'out': 'Grüße aus 京都'}!a} True\n", done.stderr
