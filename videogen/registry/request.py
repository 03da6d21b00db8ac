"""What a caller asks of a registered generator, checked: it travels with every model version."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from videogen.errors import ConfigError

SEED_COLUMN = "seed"
MAX_VIDEOS = 1_024
MAX_FRAMES = 4_096
MAX_FPS = 240.0
MAX_TRUNCATION = 1.5
MAX_SEED = 2**63 - 1
ONE_AT_A_TIME = 1
"""The batch size to generate with: how a convolution rounds depends on how many are in its batch
(measured: 2 pixels in 100,000 are off by one), and a video must depend on its seed alone."""


@dataclass(frozen=True)
class VideoRequest:
    """Which videos to make, and how. Raises `ConfigError` for a value out of its range."""

    seeds: tuple[int, ...]
    """One a video, 0 to 2^63 - 1; a video depends on its own seed alone."""
    num_frames: int
    """1 to 4,096."""
    truncation: float
    """0 (every video the average one), 1 (latents as drawn in training), at most 1.5."""
    fps: float
    """Above 0, up to 240: how densely the generator's continuous time is sampled."""

    def __post_init__(self) -> None:
        """Check every value."""
        for seed in self.seeds:
            if not 0 <= seed <= MAX_SEED:
                raise ConfigError(f"seed {seed}: give an integer from 0 to 2^63 - 1")
        checked_count("num_videos", len(self.seeds))
        checked_count("num_frames", self.num_frames, MAX_FRAMES)
        if not 0 <= self.truncation <= MAX_TRUNCATION:
            raise ConfigError(
                f"truncation {self.truncation}: give a number from 0 to {MAX_TRUNCATION}"
            )
        if not 0 < self.fps <= MAX_FPS:
            raise ConfigError(f"fps {self.fps}: give a number above 0, up to {MAX_FPS:g}")


def checked_count(name: str, value: int, largest: int = MAX_SEED) -> int:
    """The count itself. Raises `ConfigError` where it is below 1 or above `largest`."""
    if not 1 <= value <= largest:
        raise ConfigError(f"{name} {value}: give an integer from 1 to {largest}")
    return value


def seeds_from(seed: int, num_videos: int) -> tuple[int, ...]:
    """`seed`, `seed` + 1, … for so many videos."""
    return tuple(range(seed, seed + num_videos))


def read_request(model_input: object, params: Mapping[str, object]) -> VideoRequest:
    """The request that a `predict(model_input, params)` means.

    Without input (None, or no rows) it is `num_videos` videos from `params["seed"]` on. An input
    of integers (a list, an array, or a table with a column `seed`) asks for `num_videos` videos
    from each of its seeds on. Raises `ConfigError`.
    """
    num_videos = checked_count("num_videos", _integer("num_videos", params["num_videos"]))
    starts = _seeds_in(model_input) or (_integer("seed", params["seed"]),)
    if len(starts) * num_videos > MAX_VIDEOS:
        raise ConfigError(
            f"num_videos {num_videos} for {len(starts)} seed(s): ask for at most {MAX_VIDEOS} "
            "videos at once"
        )
    return VideoRequest(
        tuple(seed for start in starts for seed in seeds_from(start, num_videos)),
        _integer("num_frames", params["num_frames"]),
        _number("truncation", params["truncation"]),
        _number("fps", params["fps"]),
    )


def _seeds_in(model_input: object) -> tuple[int, ...]:
    if model_input is None:
        return ()
    values = model_input
    if isinstance(model_input, Mapping) or hasattr(model_input, "columns"):
        values = _seed_column(dict(model_input))  # type: ignore[call-overload]  # a table is one
    return tuple(_integer("seed", value) for value in np.asarray(values).reshape(-1).tolist())


def _seed_column(columns: Mapping[object, object]) -> object:
    """The column `seed`; the only column of a table that has no names."""
    if not columns:
        return ()
    if SEED_COLUMN in columns:
        return columns[SEED_COLUMN]
    if list(columns) == [0]:
        return columns[0]
    raise ConfigError(
        f"the input has the columns {sorted(map(str, columns))}: give one named {SEED_COLUMN!r}, "
        "or None as input"
    )


def _integer(name: str, value: object) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    number = _number(name, value)
    if not number.is_integer():
        raise ConfigError(f"{name} {value!r}: give an integer")
    return int(number)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ConfigError(f"{name} {value!r}: give a number")
    number = float(value)
    if not math.isfinite(number):
        raise ConfigError(f"{name} {number}: give a finite number")
    return number
