"""Sets of clips from arrays, array files and directories of videos, read clip by clip."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from videogen.config.evaluate import MIN_I3D_FRAMES
from videogen.data.video.reader import VIDEO_EXTENSIONS, read_video
from videogen.data.video.unusable import UnusableSourceError, shown
from videogen.errors import EvaluationError
from videogen.evaluation.clips.array_files import StoredArray, open_array

VIDEO_FRAMES: Final = 16
"""Frames taken of each video where nothing else is asked for."""
_MIN_CLIPS: Final = 2
_AXES: Final = 5
_RGB: Final = 3
_LOOKED_AT: Final = 64

Clip = UInt8[np.ndarray, "t h w c"]
Clips = UInt8[np.ndarray, "n t h w c"]


@dataclass(frozen=True)
class Window:
    """Which frames of a clip count: from its first on every `stride`-th, `num_frames` of them."""

    num_frames: int | None = None
    """None stands for as many as an array's clips have, or `VIDEO_FRAMES` of a video."""
    stride: int = 1

    def span(self, num_frames: int) -> int:
        """Frames of a clip that are needed for so many."""
        return (num_frames - 1) * self.stride + 1


@dataclass(frozen=True)
class ClipSet:
    """Clips of one size and length, read one at a time."""

    name: str
    num: int
    shape: tuple[int, int, int]
    """Frames, height, width."""
    read: Callable[[int], Clip]
    """One clip by its number. Raises `EvaluationError` where it cannot be read."""
    codec: str = "raw"
    notes: tuple[str, ...] = ()

    def batches(self, size: int, chosen: Sequence[int] | None = None) -> Iterator[Clips]:
        """Clips by their numbers (all, if none are given) in that order, `size` at a time."""
        numbers = range(self.num) if chosen is None else chosen
        for start in range(0, len(numbers), size):
            yield np.stack([self.read(index) for index in numbers[start : start + size]])


def open_clips(spec: str | Path, window: Window) -> ClipSet:
    """The clips that a command line names: a directory of videos, `.npy`, `.npz` or `.npz:KEY`.

    Frames are taken as they are in the file, without resampling. Nothing is read yet but what
    tells the number and the size of clips.

    Raises:
        EvaluationError: nothing is there, or it holds no clips that can be judged.
    """
    name = shown(str(spec))
    path, key = Path(spec), None
    if not path.exists() and ".npz:" in str(spec):
        stem, _, key = str(spec).partition(".npz:")
        path = Path(f"{stem}.npz")
    if not str(spec):
        raise EvaluationError("an empty name: give a directory of videos, .npy or .npz")
    if path.is_dir():
        return _open_directory(path, window)
    if not path.exists():
        raise EvaluationError(f"{name} does not exist: give a directory of videos, .npy or .npz")
    if path.suffix not in {".npy", ".npz"}:
        raise EvaluationError(f"{name} is neither a directory of videos nor an .npy or .npz file")
    return _array_clips(name, open_array(path, key), window)


def array_clips(name: str, array: NDArray[np.generic], window: Window) -> ClipSet:
    """An array in memory as clips.

    Raises:
        EvaluationError: it is not uint8 `n t h w c` with enough clips and frames.
    """
    stored = StoredArray(array.dtype, array.shape, lambda index, stop: array[index, :stop])
    return _array_clips(name, stored, window)


def _array_clips(name: str, array: StoredArray, window: Window) -> ClipSet:
    _require_frames_of_clips(name, array)
    found = array.shape[1]
    num_frames = window.num_frames or -(-found // window.stride)
    span = window.span(num_frames)
    _require_frames(name, found, num_frames, window)

    def read(index: int) -> Clip:
        return array.read(index, span)[:: window.stride]

    shape = (num_frames, array.shape[2], array.shape[3])
    return ClipSet(name, array.shape[0], shape, read)


def _require_frames_of_clips(name: str, array: StoredArray) -> None:
    if array.dtype != np.uint8:
        hint = " with NaN in it" if _has_nan(array) else ""
        raise EvaluationError(
            f"{name} holds {array.dtype}{hint}: frames must be uint8, 0 to 255; convert them first"
        )
    if len(array.shape) != _AXES or array.shape[-1] != _RGB:
        raise EvaluationError(
            f"{name} has shape {array.shape}: clips must be n t h w c with 3 channels"
        )
    if array.shape[0] < _MIN_CLIPS or 0 in array.shape:
        raise EvaluationError(
            f"{name} has shape {array.shape}: a distance between sets needs at least "
            f"{_MIN_CLIPS} clips that are not empty on each side"
        )


def _has_nan(array: StoredArray) -> bool:
    """Whether the first clips hold NaN: it is refused anyway, this only helps to see why."""
    if not np.issubdtype(array.dtype, np.floating) or len(array.shape) <= 1:
        return False
    first = range(min(array.shape[0], _LOOKED_AT))
    return any(bool(np.isnan(array.read(index, array.shape[1])).any()) for index in first)


def _open_directory(directory: Path, window: Window) -> ClipSet:
    name = shown(directory)
    num_frames = window.num_frames or VIDEO_FRAMES
    window = Window(num_frames, window.stride)
    paths = sorted(
        path
        for path in directory.rglob("*")
        if path.suffix.lower() in VIDEO_EXTENSIONS and path.is_file()
    )
    if len(paths) < _MIN_CLIPS:
        raise EvaluationError(
            f"{name} holds {len(paths)} videos: a distance between sets needs at least "
            f"{_MIN_CLIPS} on each side"
        )
    size = _read_video(paths[0], window).shape[1:3]
    every = "" if window.stride == 1 else f", one of every {window.stride},"
    note = f"of each video in {name} the first {num_frames} frames{every} count"
    return ClipSet(
        name=name,
        num=len(paths),
        shape=(num_frames, *size),
        read=lambda index: _read_video(paths[index], window, size),
        codec="video files",
        notes=(note,),
    )


def _read_video(path: Path, window: Window, size: tuple[int, int] | None = None) -> Clip:
    """The frames of a video that count; their size must be `size` where one is given."""
    num_frames = window.num_frames or VIDEO_FRAMES
    try:
        frames = list(islice(read_video(path), window.span(num_frames)))
    except UnusableSourceError as error:
        raise EvaluationError(f"{error}; take the file away or mend it") from error
    _require_frames(shown(path), len(frames), num_frames, window)
    sizes = {frame.shape[:2] for frame in frames} | ({size} if size else set())
    if len(sizes) > 1:
        spelled = " and ".join(f"{height}x{width}" for height, width in sorted(sizes))
        raise EvaluationError(
            f"{shown(path)}: frames of {spelled} (height x width) in one set; all videos of a set "
            "need one size"
        )
    return np.stack(frames[:: window.stride])


def _require_frames(name: str, found: int, wanted: int, window: Window) -> None:
    span = window.span(wanted)
    if found >= span and wanted >= MIN_I3D_FRAMES:
        return
    over = "" if window.stride == 1 else f" over {span}"
    raise EvaluationError(
        f"{name} has {found} frames a clip and {wanted}{over} are asked for; I3D needs at least "
        f"{MIN_I3D_FRAMES}: use longer clips, or another number of frames"
    )
