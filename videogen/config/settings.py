"""The one reader, and writer, of the process environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """What the machine and the shell decide, as opposed to the config of a run."""

    state_dir: Path
    """State of the embedded stack and working files; `VIDEOGEN_HOME`, by default `.videogen`."""
    cache_dir: Path
    """Downloads that can be had again; `XDG_CACHE_HOME`/videogen."""
    tracking_uri: str | None
    """`MLFLOW_TRACKING_URI`."""
    prefect_api_url: str | None
    """`PREFECT_API_URL`."""
    ray_address: str | None
    """`RAY_ADDRESS`."""

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the environment as it is now."""
        cache_home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return cls(
            state_dir=Path(os.environ.get("VIDEOGEN_HOME") or ".videogen").absolute(),
            cache_dir=Path(cache_home).absolute() / "videogen",
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or None,
            prefect_api_url=os.environ.get("PREFECT_API_URL") or None,
            ray_address=os.environ.get("RAY_ADDRESS") or None,
        )


def child_environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """The environment for a child process: ours with `changes`; None takes a variable away."""
    merged = {**os.environ, **{name: value for name, value in changes.items() if value is not None}}
    return {name: value for name, value in merged.items() if changes.get(name, value) is not None}


def apply_environment(changes: Mapping[str, str | None]) -> None:
    """Change this process's own environment; None takes a variable away."""
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def environment_value(name: str) -> str | None:
    """One variable that a library of ours reads too (AWS_…, OMP_…), or None where it is unset."""
    return os.environ.get(name) or None
