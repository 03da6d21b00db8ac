"""Why a video source cannot be used, in words of the field."""

from pathlib import PurePath
from typing import Literal

from videogen.errors import SourceError

Reason = Literal[
    "missing",
    "empty",
    "zero-byte",
    "no video stream",
    "corrupt",
    "truncated",
    "too short",
    "too large",
    "unreadable",
    "vanished",
    "missing frames",
    "hdr",
    "unsupported",
    "crashes the decoder",
    "stalls the decoder",
]


class UnusableSourceError(SourceError):
    """One video file that cannot be used: it is quarantined, and the rest goes on."""

    def __init__(self, reason: Reason, path: str, detail: str) -> None:
        super().__init__(reason, path, detail)
        self.reason = reason
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}: {self.detail}"


def shown(path: str | PurePath) -> str:
    """A path on one line: what a terminal cannot print is written as an escape."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in str(path)
    )
