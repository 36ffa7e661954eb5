"""What a check finds, and the running of checks that may fail in any way or never end."""

from collections.abc import Callable, Iterator
from threading import Thread
from typing import Literal, NamedTuple

from dbd_ray.errors import DbdRayError

State = Literal["ok", "note", "fault"]
"""All is well; worth knowing, with what it means; something that was set or is needed does not work."""

LIMIT_S = 60.0  # for one check: a network folder or a name server that is gone can hold it for minutes,
# while importing torch takes half a minute on a busy machine


class Finding(NamedTuple):
    """A row of the doctor's table.

    Attributes:
        about: What was looked at.
        state: How it is.
        text: What was found and, where it is no `ok`, what to do.
    """

    about: str
    state: State
    text: str


Check = Callable[[], Iterator[Finding]]


def run_check(name: str, check: Check, limit_s: float = LIMIT_S) -> list[Finding]:
    """Run a check; whatever goes wrong in it is a finding as well, beside those that it had by then.

    Args:
        name: What is looked at, for the finding that the check failed.
        check: The check.
        limit_s: Longest time that is waited for it, s.
    """
    found: list[Finding] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.extend(check())
        except BaseException as error:  # noqa: BLE001 - a broken surrounding raises anything, SystemExit among it
            failed.append(error)

    worker = Thread(target=run, name=f"checks {name}", daemon=True)  # one that hangs must not keep the process
    worker.start()
    worker.join(limit_s)
    if worker.is_alive():
        return [*found, Finding(name, "fault", f"no answer within {limit_s:g} s")]
    return [*found, *(Finding(name, "fault", _told(error)) for error in failed)]


def _told(error: BaseException) -> str:
    text = next(iter(str(error).strip().splitlines()), "")
    return text if isinstance(error, DbdRayError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")
