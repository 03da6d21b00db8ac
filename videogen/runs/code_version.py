"""Which code made a result: recorded with it, never part of a key."""

import functools
import subprocess
from importlib import metadata
from pathlib import Path

_GIT_TIMEOUT_S = 5


@functools.cache
def code_version() -> str:
    """The package's version, with the git revision where this is a checkout (`+` if changed)."""
    version = metadata.version("videogen")
    here = Path(__file__).parent
    try:
        described = subprocess.run(  # noqa: S603 - fixed words, no input
            ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--exclude=*"],  # noqa: S607 - the PATH's git
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version} ({described.stdout.strip()})"
