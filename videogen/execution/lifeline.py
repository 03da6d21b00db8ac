"""A child that ends when its parent does, however the parent dies.

The parent gives the child a pipe as standard input and holds the other end; the kernel closes it
with the parent. No process of ours is needed to watch, and it works across threads, unlike a
parent-death signal, which fires when the thread that started the child ends.
"""

import os
import signal
import threading
import time

from videogen.config.settings import apply_environment, environment_value

_VARIABLE = "VIDEOGEN_LIFELINE"
_GRACE_S = 20.0
_STANDARD_INPUT = 0


def lifeline_environment() -> dict[str, str | None]:
    """What tells a child that its standard input is a lifeline."""
    return {_VARIABLE: "stdin"}


def follow_parent(grace_s: float = _GRACE_S) -> None:
    """End this process when its parent ends, where the parent asked for that; else do nothing.

    Called once, by the main thread, before any work. The end is a SIGINT, so that the way out is
    that of Ctrl-C, and after `grace_s` a SIGKILL to this process and, where it leads one, to its
    process group. SIGINT is taken back into use where a shell started the parent with it ignored.
    """
    if environment_value(_VARIABLE) != "stdin":
        return
    apply_environment({_VARIABLE: None})
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_await_end, args=(grace_s,), name="lifeline", daemon=True).start()


def _await_end(grace_s: float) -> None:
    own = os.getpid()
    try:
        while os.read(_STANDARD_INPUT, 1):
            pass
    except OSError:
        return
    os.kill(own, signal.SIGINT)
    time.sleep(grace_s)
    if os.getpgrp() == own:
        os.killpg(own, signal.SIGKILL)
    os.kill(own, signal.SIGKILL)
