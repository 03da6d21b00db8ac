"""Processes that a library started for this one, found before it ends them, and ended for sure."""

import os
from collections.abc import Sequence
from contextlib import suppress

import psutil


def offspring(mark: str) -> list[psutil.Process]:
    """Our children whose command line holds `mark`, each with all that it started."""
    found: list[psutil.Process] = []
    for child in psutil.Process(os.getpid()).children():
        with suppress(psutil.Error):
            if any(mark in word for word in child.cmdline()):
                found += [child, *child.children(recursive=True)]
    return found


def end(processes: Sequence[psutil.Process], grace_s: float) -> None:
    """Wait for processes that are ending, and kill what has not ended after `grace_s`."""
    _, late = psutil.wait_procs(processes, timeout=grace_s)
    for process in late:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(late, timeout=grace_s)
