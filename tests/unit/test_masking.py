"""Secrets are replaced wherever a person, a log or a tracking server would see them."""

import json
import traceback
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from dbd_ray.checkpoints.find import find_checkpoint
from dbd_ray.cli import main
from dbd_ray.client import FocusClient, FocusRequestError
from dbd_ray.errors import CheckpointError, ConfigError, DatasetError, DbdRayError, PhotoError
from dbd_ray.masking import clean_cause, masked, masked_values
from dbd_ray.serving.refusals import Refusal
from dbd_ray.tracking.runs import RunLog, attempt, tracking_uri
from dbd_ray.tracking.store import require_store

NOBODY = "http://alice:s3cr3t@127.0.0.1:9"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{NOBODY}/api: refused", "http://alice:***@127.0.0.1:9/api: refused"),
        ("postgresql+psycopg2://u:s3cr3t@db/x", "postgresql+psycopg2://u:***@db/x"),
        ("http://u:s3c@r3t@host:80/x", "http://u:***@host:80/x"),
        ("http://u:s3c/r3t@host/x", "http://u:***@host/x"),
        ("s3://AKIA:s3cr3t@bucket/a b", "s3://AKIA:***@bucket/a b"),
        ("redis://:s3cr3t@host", "redis://:***@host"),
        ("https://s3cr3t@host/x", "https://***@host/x"),
        ("s3://AK:s3c r3t@x/m?secret_key=s3cr3t is no model", "s3://AK:***@x/m?secret_key=*** is no model"),
        ("ftp://s3cr3t@host/x", "ftp://***@host/x"),
        ("https:/u:s3cr3t@host/x", "https:/u:***@host/x"),  # as a path has it
        ("https://h/x?a=1&X-Amz-Signature=s3cr3t&b=2", "https://h/x?a=1&X-Amz-Signature=***&b=2"),
        ("postgresql://h/x?user=a&password=s3cr3t", "postgresql://h/x?user=a&password=***"),
        ("b'Bearer s3cr3t-key' is illegal", "b'Bearer ***' is illegal"),
    ],
)
def test_a_secret_is_masked_and_the_rest_stays(text: str, shown: str) -> None:
    assert masked(text) == shown
    assert masked(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/v1@2/focus",
        "http://[::1]:5000/x@y",
        "http://127.0.0.1:8000 does not answer, ask admin@example.org",
        "abfss://container@account.dfs.core.windows.net/x",
        "models:/dbd-ray@champion",
        "sqlite:///runs/mlflow.db?timeout=60",
        "this server wants an API key: send it in `Authorization: Bearer KEY`",
        "/data/a?b=c.jpg: not an image",
        "MLFLOW_TRACKING_URI=file:mlruns: MLflow refuses file stores",
    ],
)
def test_what_holds_no_secret_is_shown_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_secrets_of_the_environment_are_masked_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "long/secret")
    monkeypatch.setenv("DBD_RAY_API_KEYS", "first-secret-key, second-secret-key")
    monkeypatch.setenv("OF_ANOTHER_TOKEN", "short")  # would be found inside words
    monkeypatch.setenv("ANOTHER_TOKEN_PATH", "/path/of/token")
    text = "signed with long/secret for second-secret-key and first-secret-key, shortly, by /path/of/token"
    assert masked(text) == "signed with *** for *** and ***, shortly, by /path/of/token"


@pytest.mark.parametrize("password", ["s3cr3t", "s3'cr <3t", "s3@cr/3t"])
@pytest.mark.parametrize("scheme", ["", "http://", "socks5h://"])
def test_a_proxys_password_is_masked_however_it_is_written(
    password: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"{scheme}alice:{password}@proxy:3128"
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert masked(f"HTTPS_PROXY={proxy}: not reached") == f"HTTPS_PROXY={scheme}alice:***@proxy:3128: not reached"


def test_values_are_masked_however_deep_they_lie() -> None:
    values = {"data": (NOBODY, 1), "a": {"b": None, "c": [NOBODY]}}
    shown = "http://alice:***@127.0.0.1:9"
    assert masked_values(values) == {"data": [shown, 1], "a": {"b": None, "c": [shown]}}


@pytest.mark.parametrize(
    "error",
    [
        ConfigError(NOBODY),
        PhotoError("truncated", NOBODY),
        DatasetError(NOBODY, [NOBODY]),
        Refusal("busy", NOBODY),
        FocusRequestError("unreachable", NOBODY),
    ],
)
def test_no_error_of_ours_holds_a_secret(error: DbdRayError) -> None:
    assert "alice:***@" in str(error)
    assert "s3cr3t" not in str(error) + repr(error) + repr(vars(error)) + repr(error.__reduce__())


def test_a_cause_whose_message_holds_a_secret_is_left_out() -> None:
    fine, talkative = ValueError("no"), ValueError(NOBODY)
    assert clean_cause(fine) is fine
    assert clean_cause(talkative) is None
    fine.__cause__ = talkative
    assert clean_cause(fine) is None, "a traceback shows what is behind it, too"


def test_a_store_that_was_not_reached_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOBODY)
    for ask in (
        lambda: require_store(NOBODY),
        lambda: RunLog.open(NOBODY, "x"),
        lambda: find_checkpoint("models:/a@champion"),
    ):
        with pytest.raises(ConfigError, match="correct MLFLOW_TRACKING_URI") as caught:
            ask()
        assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))
        assert "not found" not in str(caught.value), "nobody has looked there"
    said: list[str] = []
    attempt(lambda: RunLog(NOBODY, "x").metrics({"a": 1.0}), said.append)
    assert said
    assert "s3cr3t" not in said[0]


def test_a_model_that_is_not_in_the_registry_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    for uri in ("models:/absent@champion", "models:/absent/3"):
        with pytest.raises(CheckpointError, match=f"{uri}: not found in the MLflow registry"):
            find_checkpoint(uri)


def test_what_is_tracked_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = tracking_uri(tmp_path)
    log = RunLog.open(uri, "run", params={"data": ("s3://AKIA:s3cr3t@bucket/x",), "a": {"b": NOBODY}})
    log.tags({"depths": NOBODY})
    run = MlflowClient(tracking_uri=uri).get_run(log.run_id)
    assert "s3cr3t" not in json.dumps(run.to_dictionary())
    assert run.data.tags["depths"] == "http://alice:***@127.0.0.1:9"


def _labelled(folder: Path) -> Path:
    for part in ("image", "mask"):
        (folder / part).mkdir(parents=True)
    half = np.zeros((64, 64, 3), np.uint8)
    half[:, :32] = 255
    for number in range(2):
        Image.fromarray(half).save(folder / "image" / f"{number}.png")
        Image.fromarray(half[..., 0]).save(folder / "mask" / f"{number}.png")
    (folder / "test.txt").write_text("0.png\n1.png\n")
    return folder


@pytest.mark.parametrize("uri", [NOBODY, "postgresql+absentdriver://alice:s3cr3t@127.0.0.1:9/x", "foo://a:s3cr3t@b"])
def test_no_command_shows_the_password_of_its_tracking_server(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    labelled = str(_labelled(tmp_path / "F"))
    photo, model = f"{labelled}/image/0.png", ("--model", "models:/dbd-ray@champion")
    where = ("--root", labelled, "--layout", "folder", "--polarity", "focus", "--out", "report")
    for command in (("evaluate", "lite", *where), ("predict", photo, *model, "--out", "out")):
        with pytest.raises(SystemExit) as ended:
            main(command)
        said = "".join(capfd.readouterr())
        assert ended.value.code == 2
        assert "s3cr3t" not in said
        (line,) = said.splitlines()
        assert line.startswith("error: ")
        assert ":***@" in line
        assert "photos" not in line, "it was told before any photo was measured"


def test_the_command_that_shows_a_run_names_the_variable_where_the_address_has_a_password(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from dbd_ray.cli.console import say, say_where_recorded, show_table

    say_where_recorded("r1", NOBODY)
    say(NOBODY)
    show_table(("where",), [(NOBODY,)])
    said = capsys.readouterr().out
    assert 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"' in said
    assert "s3cr3t" not in said


def test_the_client_shows_no_secret() -> None:
    with (
        FocusClient(NOBODY, attempts=1) as client,
        pytest.raises(FocusRequestError) as caught,
    ):
        client.focus(b"x")
    assert "s3cr3t" not in "".join(traceback.format_exception(caught.value)) + repr(client)
