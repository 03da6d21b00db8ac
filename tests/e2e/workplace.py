"""The `videogen` command in a directory of somebody's own."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from videogen.config.settings import child_environment

AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "MLFLOW_TRACKING_URI")


def _take_interrupts() -> None:
    """A shell may have started us with SIGINT ignored, which children inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Workplace:
    """Runs `videogen` as a user would, with the state below one directory."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)
    """Set beside the environment of the tests."""

    @property
    def environment(self) -> dict[str, str]:
        return child_environment(
            {
                **dict.fromkeys(AWS),
                "VIDEOGEN_HOME": str(self.directory / ".videogen"),
                "COLUMNS": "200",
                "NO_COLOR": "1",
                **self.variables,
            }
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "videogen", *arguments],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_take_interrupts,  # noqa: PLW1509 - one thread when it is called
        )

    def run(self, *arguments: str, timeout_s: float = 400) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            pytest.fail(f"videogen {' '.join(arguments)}: no end after {timeout_s} s\n{errors}")
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def json(self, *arguments: str) -> dict[str, Any]:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 1, done.stdout
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def processes(self) -> list[psutil.Process]:
        """Every process that carries this workplace in its command or its environment."""
        mark, found = str(self.directory), []
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            try:
                words = [*process.cmdline(), *process.environ().values()]
            except psutil.Error:
                continue
            if any(mark in word for word in words):
                found.append(process)
        return found
