"""How a command is told to stop: Ctrl-C and SIGTERM are the same."""

import signal
import threading
import time
from types import FrameType

# while what was begun is shut down, which an impatient second Ctrl-C must not break off
PATIENCE_S = 30.0

_stopped_at = -PATIENCE_S


def stop_by_signals() -> None:
    """Let Ctrl-C and SIGTERM raise KeyboardInterrupt; called again after a library has set its own handlers."""
    if threading.current_thread() is not threading.main_thread():  # as when a program calls a command itself
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in the background of a shell, or below nohup
            signal.signal(number, _stop)


def stopping() -> KeyboardInterrupt:
    """Give what stops a command, for whoever caught a signal in another form; further signals wait from now on."""
    global _stopped_at
    stop_by_signals()
    _stopped_at = time.monotonic()
    return KeyboardInterrupt()


def _stop(number: int, frame: FrameType | None) -> None:
    if time.monotonic() - _stopped_at >= PATIENCE_S:
        raise stopping()
