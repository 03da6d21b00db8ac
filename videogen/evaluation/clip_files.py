"""Sets of clips from arrays, array files and directories of videos, checked as they are read."""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from videogen.data.video.reader import VIDEO_EXTENSIONS, read_video
from videogen.data.video.unusable import UnusableSourceError, shown
from videogen.errors import EvaluationError
from videogen.evaluation.extractors.i3d import MIN_FRAMES

VIDEO_FRAMES: Final = 16
"""Frames taken of each video where nothing else is asked for."""
_MIN_CLIPS: Final = 2
_AXES: Final = 5
_RGB: Final = 3

Clips = UInt8[np.ndarray, "n t h w c"]


@dataclass(frozen=True)
class ClipSet:
    """Clips of one size and length, read a few at a time."""

    name: str
    num: int
    shape: tuple[int, int, int]
    """Frames, height, width."""
    read: Callable[[int, int], Clips]
    """Clips from one index up to another."""
    codec: str = "raw"
    notes: tuple[str, ...] = ()

    def batches(self, size: int) -> Iterator[Clips]:
        """All clips in order, `size` at a time."""
        for start in range(0, self.num, size):
            yield self.read(start, min(start + size, self.num))


def open_clips(spec: str | Path, num_frames: int | None) -> ClipSet:
    """The clips that a command line names: a directory of videos, `.npy`, `.npz` or `.npz:KEY`.

    Of each video the first `num_frames` frames count (`VIDEO_FRAMES` by default), as they are in
    the file, without resampling; of an array likewise, by default all.

    Raises:
        EvaluationError: nothing is there, or it holds no clips that can be judged.
    """
    name = shown(str(spec))
    path, key = Path(spec), None
    if not path.exists() and ".npz:" in str(spec):
        stem, _, key = str(spec).rpartition(":")
        path = Path(stem)
    if path.is_dir():
        return _open_directory(path, num_frames or VIDEO_FRAMES)
    if not path.exists():
        raise EvaluationError(f"{name} does not exist: give a directory of videos, .npy or .npz")
    if path.suffix not in {".npy", ".npz"}:
        raise EvaluationError(f"{name} is neither a directory of videos nor an .npy or .npz file")
    return array_clips(name, _read_array(path, key), num_frames)


def array_clips(name: str, array: NDArray[np.generic], num_frames: int | None) -> ClipSet:
    """An array as clips, cut to their first `num_frames` frames.

    Raises:
        EvaluationError: it is not uint8 `n t h w c` with enough clips and frames.
    """
    if array.dtype != np.uint8:
        floating = np.issubdtype(array.dtype, np.floating)
        hint = " with NaN in it" if floating and np.isnan(array).any() else ""
        raise EvaluationError(
            f"{name} holds {array.dtype}{hint}: frames must be uint8, 0 to 255; convert them first"
        )
    if array.ndim != _AXES or array.shape[-1] != _RGB:
        raise EvaluationError(
            f"{name} has shape {array.shape}: clips must be n t h w c with 3 channels"
        )
    if len(array) < _MIN_CLIPS or 0 in array.shape:
        raise EvaluationError(
            f"{name} has shape {array.shape}: a distance between sets needs at least "
            f"{_MIN_CLIPS} clips that are not empty on each side"
        )
    wanted = num_frames or array.shape[1]
    _require_frames(name, array.shape[1], wanted)
    frames: Clips = array[:, :wanted]
    shape = (wanted, array.shape[2], array.shape[3])
    return ClipSet(name, len(array), shape, lambda start, stop: frames[start:stop])


def _open_directory(directory: Path, num_frames: int) -> ClipSet:
    name = shown(directory)
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
    size = _read_clip(paths[0], num_frames).shape[1:3]

    def read(start: int, stop: int) -> Clips:
        return np.stack([_read_clip(path, num_frames, size) for path in paths[start:stop]])

    note = f"of each video in {name} the first {num_frames} frames count"
    return ClipSet(name, len(paths), (num_frames, *size), read, "video files", (note,))


def _read_clip(
    path: Path, num_frames: int, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "t h w c"]:
    """The first frames of a video, whose size must be `size` where one is given."""
    try:
        frames = list(islice(read_video(path), num_frames))
    except UnusableSourceError as error:
        raise EvaluationError(f"{error}; take the file away or mend it") from error
    _require_frames(shown(path), len(frames), num_frames)
    sizes = {frame.shape[:2] for frame in frames} | ({size} if size else set())
    if len(sizes) > 1:
        spelled = " and ".join(f"{height}x{width}" for height, width in sorted(sizes))
        raise EvaluationError(
            f"{shown(path)}: frames of {spelled} (height x width) in one set; all videos of a set "
            "need one size"
        )
    return np.stack(frames)


def _require_frames(name: str, found: int, wanted: int) -> None:
    if found < wanted or wanted < MIN_FRAMES:
        raise EvaluationError(
            f"{name} has {found} frames a clip and {wanted} are asked for; I3D needs at least "
            f"{MIN_FRAMES}: use longer clips, or another number of frames"
        )


def _read_array(path: Path, key: str | None) -> NDArray[np.generic]:
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded as archive:
            return _pick(path, archive, key)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).partition(". ")[0]  # what follows advises to load pickles
        raise EvaluationError(
            f"{shown(path)} is not a readable array ({reason}): write it with numpy.save or "
            "numpy.savez"
        ) from error


def _pick(path: Path, archive: np.lib.npyio.NpzFile, key: str | None) -> NDArray[np.generic]:
    names = ", ".join(archive.files) or "none"
    if key is None and len(archive.files) != 1:
        raise EvaluationError(f"{shown(path)} holds arrays {names}: pick one as FILE.npz:NAME")
    chosen = key if key is not None else archive.files[0]
    if chosen not in archive.files:
        raise EvaluationError(f"{shown(path)} has no array '{chosen}': it holds {names}")
    array: NDArray[np.generic] = archive[chosen]
    return array
