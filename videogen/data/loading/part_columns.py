"""Columns of a snapshot's rows straight from its Parquet parts, without a Python object per clip.

The parts lie in files meanwhile, so that no more of them is in memory than a batch of rows, and
columns can be read one after the other.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from videogen.data.snapshots.clip_table import check_schema_version
from videogen.data.snapshots.format import Part, mend, part_key
from videogen.errors import CorruptObjectError
from videogen.storage.base import ObjectStore

Digests = NDArray[np.uint8]
"""sha256 digests, (n 32)."""

DIGEST_BYTES = 32
_BATCH_ROWS = 1 << 13
_BUFFER_BYTES = 1 << 16
_SMALL_PART_CLIPS = 1 << 14
"""About 3 MB: one request, where a download of a file is several."""
_PARTS_AT_ONCE = 8


class PartFiles:
    """The rows of all parts, one part after the other; a context manager.

    The parts are fetched to files, and each is checked against the sha256 that names it.
    """

    def __init__(self, store: ObjectStore, dataset: str, parts: Sequence[Part]) -> None:
        self._store = store
        self._dataset = dataset
        self._parts = parts
        self._directory = tempfile.TemporaryDirectory(prefix="videogen-parts-")

    def __enter__(self) -> Self:
        """Fetch all.

        Raises `CorruptObjectError` where one is not what its name says, and as the store does.
        """
        try:
            with ThreadPoolExecutor(_PARTS_AT_ONCE, thread_name_prefix="parts") as threads:
                fetched = [threads.submit(self._fetch, part) for part in self._parts]
                try:
                    for one in fetched:
                        one.result()
                finally:
                    threads.shutdown(cancel_futures=True)
        except BaseException:
            self._directory.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._directory.cleanup()

    def __len__(self) -> int:
        """Rows, as the snapshot says."""
        return sum(part.clips for part in self._parts)

    def batches(self, *names: str) -> Iterator[tuple[slice, pa.RecordBatch]]:
        """These columns, a few thousand rows at a time, with the places of the rows.

        Raises `CorruptObjectError` where a file does not hold what the snapshot says, and
        `DatasetError` where its format is newer.
        """
        end = 0
        for part in self._parts:
            start, end = end, end + part.clips
            for batch in self._batches_of(part, names):
                rows = slice(start, start + len(batch))
                start = rows.stop
                if start <= end:
                    yield rows, batch
            if start != end:
                raise CorruptObjectError(
                    f"{self._name(part)} has {part.clips + start - end} rows, its snapshot says "
                    f"{part.clips}: {mend(self._dataset)}"
                )

    def _fetch(self, part: Part) -> None:
        key, path = part_key(self._dataset, part.sha256), self._path(part)
        if part.clips <= _SMALL_PART_CLIPS:
            path.write_bytes(self._store.get(key).data)
        else:
            self._store.download(key, path)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != part.sha256:
            raise CorruptObjectError(
                f"{self._name(part)} does not match its name: {mend(self._dataset)}"
            )

    def _batches_of(self, part: Part, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(
                self._path(part), buffer_size=_BUFFER_BYTES, pre_buffer=False
            ) as file:
                check_schema_version(file.schema_arrow, self._name(part))
                yield from file.iter_batches(
                    batch_size=_BATCH_ROWS, columns=list(names), use_threads=False
                )
        except (pa.ArrowException, OSError, KeyError) as error:
            raise CorruptObjectError(
                f"{self._name(part)} does not hold rows of clips: {error}: {mend(self._dataset)}"
            ) from error

    def _path(self, part: Part) -> Path:
        return Path(self._directory.name) / part.sha256

    def _name(self, part: Part) -> str:
        return f"{part_key(self._dataset, part.sha256)} in {self._store.root}"


def digests(column: pa.FixedSizeBinaryArray) -> Digests:
    """A column of sha256."""
    _, values = column.buffers()
    first = column.offset * DIGEST_BYTES
    rows = np.frombuffer(values, np.uint8, len(column) * DIGEST_BYTES, first)
    return rows.reshape(-1, DIGEST_BYTES)


def numbers(column: pa.Array) -> NDArray[Any]:
    """A column of numbers."""
    return np.asarray(column.to_numpy(zero_copy_only=False))


def coded(column: pa.Array) -> tuple[list[Any], NDArray[np.int32]]:
    """A column of few values: each once, and where each row's is among them."""
    column = column.dictionary_encode()
    return column.dictionary.to_pylist(), numbers(column.indices)
