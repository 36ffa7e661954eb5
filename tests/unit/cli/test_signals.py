"""How a command is told to stop."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray

from dbd_ray.cli import data, session, signals, training
from dbd_ray.cli.app import BEGIN_AGAIN, GO_ON, app, main
from dbd_ray.errors import DbdRayError
from dbd_ray.training.trainer import _fit

COMMAND = """
import os, signal, threading
from dbd_ray.cli.signals import stop_by_signals
signal.signal(signal.SIGTERM, lambda *_: None)  # as ray.init does
signal.signal(signal.SIGINT, signal.default_int_handler)  # which the background of a shell switches off
stop_by_signals()
try:
    os.kill(os.getpid(), signal.{first})
    threading.Event().wait(60)
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.{second})  # while things are shut down
    print("shut down")
"""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("first", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("second", ["SIGTERM", "SIGINT"])
def test_both_signals_stop_a_command_and_a_second_does_not_break_that_off(first: str, second: str) -> None:
    script = COMMAND.format(first=first, second=second)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "shut down\n", "")


def test_an_interrupted_command_says_what_the_same_command_would_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # as Ctrl-C, which the background of a shell switches off

    monkeypatch.setattr(training, "load_train_config", interrupted)
    monkeypatch.setattr(data, "build", interrupted)
    for command, then in (("train", "; the same command goes on"), ("prepare", "; the same command begins again")):
        monkeypatch.setattr(signals, "_stopped_at", -signals.PATIENCE_S)
        with pytest.raises(SystemExit) as stopped:
            main([command])
        assert (stopped.value.code, capsys.readouterr().err) == (130, f"interrupted{then}\n")
    named = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    assert {*GO_ON, *BEGIN_AGAIN} <= named


def test_ray_trains_own_end_of_an_interrupted_run_is_an_interruption() -> None:
    class Interrupted:
        def fit(self) -> None:
            sys.exit(0)

    with pytest.raises(KeyboardInterrupt):
        _fit(Interrupted())  # type: ignore[arg-type]


def test_signals_that_a_shell_has_switched_off_stay_off() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals.stop_by_signals()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_program_that_calls_commands_in_a_thread_keeps_its_signals() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(signals.stop_by_signals).result()


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Lets ray.init end in the given errors, one after the other; gives the numbers of its calls."""

    def end_in(*errors: BaseException) -> list[int]:
        calls: list[int] = []

        def init(**_: object) -> None:
            calls.append(len(calls))
            if len(calls) <= len(errors):
                raise errors[len(calls) - 1]

        monkeypatch.setattr(ray, "init", init)
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        return calls

    return end_in


def test_a_signal_while_ray_starts_stops_the_command(starts: Callable[..., list[int]]) -> None:
    starts(SystemExit(15))
    with pytest.raises(KeyboardInterrupt), session.local_or_cluster():
        pass


def test_a_ray_that_does_not_start_is_tried_once_more(
    starts: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = starts(Exception("The current node timed out during startup. This could happen\nbecause"))
    with session.local_or_cluster():
        pass
    assert len(calls) == 2
    said = capsys.readouterr().err
    assert (
        said == "Ray did not start (The current node timed out during startup. This could happen); trying once more\n"
    )


def test_a_ray_that_does_not_start_twice_is_one_line(starts: Callable[..., list[int]]) -> None:
    error = Exception("The current node timed out during startup.")
    starts(error, error)
    message = r"Ray cannot be used \(The current node timed out .*busy"
    with pytest.raises(DbdRayError, match=message), session.local_or_cluster():
        pass


def test_a_token_that_lies_here_is_shown_to_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setenv("RAY_AUTH_MODE", "")  # so that it is what it was afterwards
    monkeypatch.delenv("RAY_AUTH_MODE")
    session.present_token()
    assert "RAY_AUTH_MODE" not in os.environ
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0123")
    session.present_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"
