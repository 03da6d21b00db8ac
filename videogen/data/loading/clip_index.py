"""What the loader knows of each clip of the training split: numpy columns, about 90 B a clip.

Training needs a few numbers of a clip, not its row, so opening a snapshot of a million clips takes
about a second and little memory.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from videogen.data.loading.part_columns import Digests, PartColumns, read_parts
from videogen.data.snapshots.format import SnapshotDocument, mend, snapshot_key
from videogen.data.snapshots.snapshot import load_document
from videogen.errors import CorruptObjectError
from videogen.storage.base import ObjectStore


@dataclass(frozen=True)
class ClipPlace:
    """Where one clip lies; digests are hex."""

    clip_id: str
    shard: str
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True)
class ClipIndex:
    """The clips of the training split, sorted by clip id."""

    document: SnapshotDocument
    """Of the snapshot, which also has the clips that are held out."""
    shards: Digests
    """sha256 of each shard that has a clip here, sorted."""
    shard: NDArray[np.int32]
    """Place of each clip's shard in `shards`."""
    offset: NDArray[np.int64]
    """First byte of the clip's `.frames` member in its shard."""
    length: NDArray[np.int64]
    """Bytes of the member."""
    frames: NDArray[np.int32]
    sha256: Digests
    """Of the member."""
    clip_id: Digests

    def __len__(self) -> int:
        return len(self.frames)

    def place(self, clip: int) -> ClipPlace:
        """Where a clip lies, by its index."""
        return ClipPlace(
            clip_id=self.clip_id[clip].tobytes().hex(),
            shard=self.shards[self.shard[clip]].tobytes().hex(),
            offset=int(self.offset[clip]),
            length=int(self.length[clip]),
            sha256=self.sha256[clip].tobytes().hex(),
        )

    def shard_bytes(self) -> NDArray[np.int64]:
        """Size of each shard, as far as the clips here tell: up to the end of the last."""
        sizes = np.zeros(len(self.shards), dtype=np.int64)
        np.maximum.at(sizes, self.shard, self.offset + self.length)
        return sizes


def open_clips(store: ObjectStore, dataset: str, digest: str) -> ClipIndex:
    """The training split of a snapshot.

    Raises `DatasetError` where there is no such snapshot or its format is newer,
    `CorruptObjectError` where an object is not what its name says, and `StorageError`.
    """
    document = load_document(store, dataset, digest)
    columns = read_parts(store, dataset, document.parts)
    order = unique_order(columns.clip_id)
    if len(order) != document.clips or document.digest != digest:
        raise CorruptObjectError(
            f"{snapshot_key(dataset, digest)} lists {document.clips} clips, its parts hold "
            f"{len(order)}: {mend(dataset)}"
        )
    return _index(document, columns, order[columns.is_train[order]])


def unique_order(digests: Digests) -> NDArray[np.intp]:
    """Where the digests lie in ascending order; of equal ones, the first alone.

    Sorts by the first 8 bytes, as numbers; only those that are equal in these are looked at whole.
    """
    heads = digests[:, :8].copy().view(">u8").ravel().astype(np.uint64)
    order = np.argsort(heads, kind="stable")
    heads = heads[order]
    same_as_next = heads[1:] == heads[:-1]
    tied = np.zeros(len(order), dtype=bool)
    tied[1:] |= same_as_next
    tied[:-1] |= same_as_next
    if not tied.any():
        return order
    words = digests[order[tied]].view(">u8").astype(np.uint64)
    inner = np.lexsort(words.T[::-1])
    order[tied] = order[tied][inner]
    words = words[inner]
    repeated = np.zeros(len(order), dtype=bool)
    repeated[np.flatnonzero(tied)[1:]] = (words[1:] == words[:-1]).all(axis=1)
    return order[~repeated]


def _index(
    document: SnapshotDocument, columns: PartColumns, clips: NDArray[np.intp]
) -> ClipIndex:
    numbers = columns.shard[clips]
    present = np.flatnonzero(np.bincount(numbers, minlength=len(columns.shards)))
    seen = np.frombuffer(b"".join(columns.shards), dtype=np.uint8).reshape(-1, 32)[present]
    by_digest = unique_order(seen)
    place = np.zeros(len(columns.shards), dtype=np.int32)
    place[present[by_digest]] = np.arange(len(present), dtype=np.int32)
    return ClipIndex(
        document=document,
        shards=seen[by_digest],
        shard=place[numbers],
        offset=columns.offset[clips],
        length=columns.length[clips],
        frames=columns.frames[clips],
        sha256=columns.sha256[clips],
        clip_id=columns.clip_id[clips],
    )
