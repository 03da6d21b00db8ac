"""Columns of a snapshot's rows straight from its Parquet parts, without a Python object per clip.

Large parts go through a file, so that none is in memory whole; each is checked against the sha256
that names it.
"""

import hashlib
import io
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from videogen.data.snapshots.clip_table import check_schema_version
from videogen.data.snapshots.format import Part, mend, part_key
from videogen.errors import CorruptObjectError
from videogen.storage.base import ObjectStore

Digests = NDArray[np.uint8]
"""sha256 digests, (n 32)."""

_DIGEST_BYTES = 32
_BATCH_ROWS = 1 << 15
_BUFFER_BYTES = 1 << 18
_SMALL_PART_CLIPS = 1 << 14
"""About 3 MB: read into memory at once, which is one request."""
_PARTS_AT_ONCE = 4


class PartColumns:
    """What the loader needs of the rows of all parts, in the order of the parts; all splits."""

    def __init__(self, num: int) -> None:
        self.clip_id: Digests = np.empty((num, _DIGEST_BYTES), dtype=np.uint8)
        self.sha256: Digests = np.empty((num, _DIGEST_BYTES), dtype=np.uint8)
        self.shard = np.empty(num, dtype=np.int32)
        """Places in `shards`."""
        self.offset = np.empty(num, dtype=np.int64)
        self.length = np.empty(num, dtype=np.int64)
        self.frames = np.empty(num, dtype=np.int32)
        self.is_train = np.empty(num, dtype=bool)
        self._numbers: dict[bytes, int] = {}
        self._numbering = threading.Lock()

    @property
    def shards(self) -> list[bytes]:
        """sha256 of each shard, in the order of first sight."""
        return list(self._numbers)

    def set(self, start: int, batch: pa.RecordBatch) -> None:
        """Fill the rows from `start` on."""
        rows = slice(start, start + len(batch))
        self.clip_id[rows] = _digests(batch.column("clip_id"))
        self.sha256[rows] = _digests(batch.column("sha256"))
        self.shard[rows] = self._numbered(batch.column("shard").dictionary_encode())
        self.offset[rows] = _numbers(batch.column("offset"))
        self.length[rows] = _numbers(batch.column("length"))
        self.frames[rows] = _numbers(batch.column("frames"))
        split = batch.column("split").cast(pa.string())
        self.is_train[rows] = _numbers(pc.equal(split, "train"))

    def _numbered(self, shards: pa.DictionaryArray) -> NDArray[np.int32]:
        with self._numbering:
            numbers = [
                self._numbers.setdefault(digest, len(self._numbers))
                for digest in shards.dictionary.to_pylist()
            ]
        return np.asarray(numbers, dtype=np.int32)[_numbers(shards.indices)]


def read_parts(store: ObjectStore, dataset: str, parts: tuple[Part, ...]) -> PartColumns:
    """The rows of all parts.

    Raises `CorruptObjectError` where a part is not what its name or its snapshot says,
    `DatasetError` where its format is newer, and as the store does.
    """
    starts = np.cumsum([0, *(part.clips for part in parts)]).tolist()
    columns = PartColumns(starts[-1])
    with ThreadPoolExecutor(_PARTS_AT_ONCE, thread_name_prefix="parts") as threads:
        read = [
            threads.submit(_read_part, store, dataset, part, columns, start)
            for part, start in zip(parts, starts, strict=False)
        ]
        try:
            for one in read:
                one.result()
        finally:
            threads.shutdown(cancel_futures=True)
    return columns


def _read_part(
    store: ObjectStore, dataset: str, part: Part, columns: PartColumns, start: int
) -> None:
    key = part_key(dataset, part.sha256)
    row = start
    with _opened(store, dataset, part) as file:
        for batch in _batches(file, key):
            if row + len(batch) <= start + part.clips:
                columns.set(row, batch)
            row += len(batch)
    if row != start + part.clips:
        raise CorruptObjectError(
            f"{key} in {store.root} has {row - start} rows, its snapshot says {part.clips}: "
            f"{mend(dataset)}"
        )


@contextmanager
def _opened(store: ObjectStore, dataset: str, part: Part) -> Iterator[BinaryIO]:
    """The verified bytes of a part."""
    key = part_key(dataset, part.sha256)
    with tempfile.TemporaryDirectory(prefix="videogen-part-") as directory:
        if part.clips <= _SMALL_PART_CLIPS:
            file: BinaryIO = io.BytesIO(store.get(key).data)
        else:
            path = Path(directory) / "part.parquet"
            store.download(key, path)
            file = path.open("rb")
        with file:
            if hashlib.file_digest(file, "sha256").hexdigest() != part.sha256:
                raise CorruptObjectError(
                    f"{key} in {store.root} does not match its name: {mend(dataset)}"
                )
            file.seek(0)
            yield file


def _batches(file: BinaryIO, key: str) -> Iterator[pa.RecordBatch]:
    try:
        source = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        check_schema_version(source.schema_arrow, key)
        yield from source.iter_batches(
            batch_size=_BATCH_ROWS,
            columns=["clip_id", "shard", "offset", "length", "frames", "sha256", "split"],
            use_threads=False,
        )
    except (pa.ArrowException, OSError, KeyError) as error:
        raise CorruptObjectError(f"{key} does not hold rows of clips: {error}") from error


def _digests(column: pa.FixedSizeBinaryArray) -> Digests:
    _, values = column.buffers()
    first = column.offset * _DIGEST_BYTES
    rows = np.frombuffer(values, np.uint8, len(column) * _DIGEST_BYTES, first)
    return rows.reshape(-1, _DIGEST_BYTES)


def _numbers(column: pa.Array) -> NDArray[Any]:
    return np.asarray(column.to_numpy(zero_copy_only=False))
