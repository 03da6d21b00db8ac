"""Arrays in `.npy` and `.npz` files, read row by row: they may be larger than memory."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from videogen.data.video.unusable import shown
from videogen.errors import EvaluationError

_VERSION_1: Final = (1, 0)
_NOT_AN_ARRAY: Final = (
    OSError,
    ValueError,
    OverflowError,  # of a header that names a negative or an impossible size
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,  # zipfile's of an encrypted member
)


@dataclass(frozen=True)
class StoredArray:
    """An array whose rows are read when they are wanted."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    read: Callable[[int, int], NDArray[np.generic]]
    """`read(i, stop)` is `array[i, :stop]`. Raises `EvaluationError` where the file is damaged."""


def open_array(path: Path, key: str | None) -> StoredArray:
    """The array of an `.npy` file, or the one that `key` names in an `.npz` file.

    Of a compressed `.npz` rows are best read in their order: a step back decompresses it anew.

    Raises:
        EvaluationError: the file holds no such array, or one of Python objects.
    """
    with _readable(path):
        if path.suffix == ".npz":
            return _open_member(path, _picked(path, key))
        mapped: NDArray[np.generic] = npy.open_memmap(path, mode="r")
    return StoredArray(mapped.dtype, mapped.shape, lambda index, stop: mapped[index, :stop])


def _picked(path: Path, key: str | None) -> str:
    """The archive's member that a key names, or its only one."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    members = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    listed = ", ".join(members) or "none"
    if key is None and len(members) != 1:
        raise EvaluationError(f"{shown(path)} holds arrays {listed}: pick one as FILE.npz:NAME")
    chosen = members[0] if key is None else key
    if chosen not in members:
        raise EvaluationError(f"{shown(path)} has no array '{chosen}': it holds {listed}")
    return chosen


def _open_member(path: Path, name: str) -> StoredArray:
    archive = zipfile.ZipFile(path)
    stream = archive.open(f"{name}.npy")
    shape, in_columns, dtype = _read_header(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if in_columns or not shape:
        with np.load(path, allow_pickle=False) as loaded:
            whole: NDArray[np.generic] = loaded[name]
        return StoredArray(dtype, shape, lambda index, stop: whole[index, :stop])
    first = stream.tell()
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    inner_bytes = int(np.prod(shape[2:], dtype=np.int64)) * dtype.itemsize

    def read(index: int, stop: int) -> NDArray[np.generic]:
        with _readable(path), ExitStack() as undo:
            undo.callback(stream.close)
            stream.seek(first + index * row_bytes)
            wanted = min(stop, shape[1]) * inner_bytes
            content = stream.read(wanted)
            if len(content) < wanted:
                raise ValueError(f"it ends within row {index}")
            undo.pop_all()
        return np.frombuffer(content, dtype).reshape(-1, *shape[2:])

    return StoredArray(dtype, shape, read)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, whether it is stored column by column, type."""
    version = npy.read_magic(stream)
    reader = npy.read_array_header_1_0 if version == _VERSION_1 else npy.read_array_header_2_0
    shape, in_columns, dtype = reader(stream)
    return tuple(shape), bool(in_columns), dtype


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what is raised by a file that is no array into `EvaluationError`."""
    try:
        yield
    except _NOT_AN_ARRAY as error:
        reason = str(error).partition(". ")[0]  # what follows advises to load pickles
        raise EvaluationError(
            f"{shown(path)} is not a readable array ({reason}): write it with numpy.save or "
            "numpy.savez"
        ) from error
