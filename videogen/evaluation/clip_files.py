"""Sets of clips from arrays and from `.npy`/`.npz` files, checked before anything is computed."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from videogen.errors import EvaluationError
from videogen.evaluation.i3d import MIN_FRAMES

_MIN_CLIPS: Final = 2
_AXES: Final = 5
_RGB: Final = 3


@dataclass(frozen=True)
class ClipSet:
    """Clips of one size and length, and what a protocol says of them."""

    name: str
    frames: UInt8[np.ndarray, "n t h w c"]
    codec: str = "raw"
    notes: tuple[str, ...] = ()


def load_clips(spec: str | Path, num_frames: int | None, seed: int) -> ClipSet:
    """The clips that a command line names: `FILE.npy`, `FILE.npz` or `FILE.npz:KEY`.

    Raises:
        EvaluationError: nothing is there, or it holds no clips that can be judged.
    """
    name = str(spec)
    path, key = Path(spec), None
    if not path.exists() and ".npz:" in name:
        stem, _, key = name.rpartition(":")
        path = Path(stem)
    if not path.exists():
        raise EvaluationError(f"{name} does not exist: give a directory of videos, .npy or .npz")
    if path.suffix not in {".npy", ".npz"}:
        raise EvaluationError(f"{name} is neither a directory of videos nor an .npy or .npz file")
    return require_clips(name, _read_array(path, key), num_frames)


def require_clips(name: str, array: NDArray[np.generic], num_frames: int | None) -> ClipSet:
    """An array as clips, cut to their first `num_frames` frames.

    Raises:
        EvaluationError: it is not uint8 `n t h w c` with enough clips and frames.
    """
    if array.dtype != np.uint8:
        hint = ""
        if np.issubdtype(array.dtype, np.floating):
            hint = " (it holds NaN too)" if np.isnan(array).any() else ""
        raise EvaluationError(
            f"{name} holds {array.dtype}{hint}: frames must be uint8, 0 to 255; convert them first"
        )
    if array.ndim != _AXES or array.shape[-1] != _RGB:
        raise EvaluationError(
            f"{name} has shape {array.shape}: clips must be n t h w c with 3 channels"
        )
    if len(array) < _MIN_CLIPS or 0 in array.shape:
        raise EvaluationError(
            f"{name} has {len(array)} clips of shape {array.shape[1:]}: a distance between sets "
            f"needs at least {_MIN_CLIPS} clips that are not empty"
        )
    wanted = num_frames or array.shape[1]
    if array.shape[1] < wanted or wanted < MIN_FRAMES:
        raise EvaluationError(
            f"{name} has clips of {array.shape[1]} frames, {wanted} are asked for, and I3D needs "
            f"at least {MIN_FRAMES}: use longer clips"
        )
    return ClipSet(name, array[:, :wanted])


def _read_array(path: Path, key: str | None) -> NDArray[np.generic]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded as archive:
            return _pick(path, archive, key)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise EvaluationError(
            f"{path} is not a readable array: {error}; write it with numpy.save or numpy.savez"
        ) from error


def _pick(path: Path, archive: np.lib.npyio.NpzFile, key: str | None) -> NDArray[np.generic]:
    names = ", ".join(archive.files) or "none"
    if key is None and len(archive.files) != 1:
        raise EvaluationError(f"{path} holds arrays {names}: pick one as {path}:NAME")
    chosen = key if key is not None else archive.files[0]
    if chosen not in archive.files:
        raise EvaluationError(f"{path} has no array '{chosen}': it holds {names}")
    array: NDArray[np.generic] = archive[chosen]
    return array
