"""Synthetic videos: one large coloured shape that moves over a plain background and bounces.

The distribution is small on purpose (3 shapes, 5 colours, 4 backgrounds, one speed), so that a
small generator can learn it in minutes, and motion over 2 s is plain to see.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from videogen.data.video.writer import VideoWriteError, write_video
from videogen.progress import Progress, ProgressEvent

Frames = NDArray[np.uint8]
Plane = NDArray[np.float64]

SHAPES = ("circle", "square", "triangle")
COLOURS = ((216, 40, 40), (240, 190, 30), (40, 170, 70), (40, 90, 220), (190, 60, 200))
BACKGROUNDS = ((236, 236, 232), (24, 24, 32), (150, 200, 230), (120, 116, 108))
FPS = 8.0
NUM_FRAMES = 48
SIZE = 64

MANIFEST = ".samples.json"
"""sha256 of each file written, so that a second call sees without encoding what is there."""

_VERSION = 1
_RADIUS = 0.18
_SPEED_PER_S = 0.4
_STREAM = 0x5A3D1E


def sample_clip(
    seed: int, num_frames: int = NUM_FRAMES, size: int = SIZE, *, fps: float = FPS
) -> Frames:
    """Video `seed` of the distribution: uint8 (t h w c), RGB, `size` pixels square.

    A pure function of its arguments; more frames extend the same video. The shape is about a third
    of the frame wide and crosses 0.4 of the frame's width a second.
    """
    rng = np.random.default_rng([_STREAM, seed])
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    colour = np.asarray(COLOURS[int(rng.integers(len(COLOURS)))], dtype=np.float64)
    background = np.asarray(BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))], dtype=np.float64)
    phase = rng.uniform(0, 2, size=2)
    angle = rng.uniform(0, 2 * np.pi)
    velocity = _SPEED_PER_S / (1 - 2 * _RADIUS) * np.array([np.cos(angle), np.sin(angle)])
    frames = np.empty((num_frames, size, size, 3), dtype=np.uint8)
    for index in range(num_frames):
        centre = _bounce(phase + velocity * (index / fps))
        cover = _coverage(shape, centre, size)[..., None]
        frames[index] = np.rint(background + cover * (colour - background))
    return frames


def write_samples(
    directory: Path,
    num_videos: int,
    seed: int,
    progress: Progress,
    *,
    size: int = SIZE,
    num_frames: int = NUM_FRAMES,
) -> tuple[Path, ...]:
    """Write `sample-NNNNN.mp4` for seeds `seed` to `seed + num_videos - 1`; their paths.

    Files that are there with that content stay untouched, and other files are left alone. Raises
    `VideoWriteError`.
    """
    known = _read_manifest(directory)
    written: dict[str, str] = {}
    for done in range(num_videos):
        number = seed + done
        path = directory / f"sample-{number:05d}.mp4"
        what = f"{_VERSION}/{number}/{size}/{num_frames}/{FPS:g}"
        stamp = known.get(path.name)
        if stamp is None or stamp != f"{what} {_sha256(path)}":
            clip = sample_clip(number, num_frames, size)
            write_video(path, clip, FPS, provenance={"made_by": "videogen samples", "seed": number})
            stamp = f"{what} {_sha256(path)}"
        written[path.name] = stamp
        progress(ProgressEvent("samples", done + 1, num_videos, "videos"))
    if any(known.get(name) != stamp for name, stamp in written.items()):
        _write_manifest(directory, known | written)
    return tuple(directory / name for name in written)


def _read_manifest(directory: Path) -> dict[str, str]:
    try:
        document = json.loads((directory / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _write_manifest(directory: Path, stamps: dict[str, str]) -> None:
    staged = directory / f"{MANIFEST}.part"
    try:
        staged.write_text(json.dumps(stamps, indent=0, sort_keys=True))
        os.replace(staged, directory / MANIFEST)  # noqa: PTH105 - in one step
    except OSError as error:
        raise VideoWriteError(
            f"cannot write {directory / MANIFEST}: {error.strerror}; check that there is room"
        ) from error
    finally:
        with suppress(OSError):
            staged.unlink(missing_ok=True)


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _bounce(travelled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre (x, y) in [radius, 1 - radius]: the path folded at the walls."""
    folded = 1 - np.abs(1 - np.mod(travelled, 2))
    centre: NDArray[np.float64] = _RADIUS + folded * (1 - 2 * _RADIUS)
    return centre


def _coverage(shape: str, centre: NDArray[np.float64], size: int) -> Plane:
    """Share of each pixel that the shape covers, (h w) in [0, 1], from its distance in pixels."""
    axis = (np.arange(size) + 0.5) / size
    x, y = axis[None, :] - centre[0], axis[:, None] - centre[1]
    match shape:
        case "circle":
            distance = np.hypot(x, y) - _RADIUS
        case "square":
            distance = np.maximum(np.abs(x), np.abs(y)) - 0.9 * _RADIUS
        case _:
            y = y - 0.3 * _RADIUS
            slanted = np.abs(x) * np.sqrt(3) / 2 - y / 2
            distance = np.maximum(slanted, y) - 0.6 * _RADIUS
    cover: Plane = np.clip(0.5 - distance * size, 0, 1)
    return cover
