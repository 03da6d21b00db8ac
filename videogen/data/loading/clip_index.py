"""What the loader knows of each clip of the training split: numpy columns, about 90 B a clip.

Training needs a few numbers of a clip, not its row, so opening a snapshot of a million clips takes
about a second and little memory.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from videogen.data.loading.part_columns import (
    DIGEST_BYTES,
    Digests,
    PartFiles,
    coded,
    digests,
    numbers,
)
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
    with PartFiles(store, dataset, document.parts) as parts:
        clip_id, is_train = _identities(parts)
        order = unique_order(clip_id)
        if len(order) != document.clips or document.digest != digest:
            raise CorruptObjectError(
                f"{snapshot_key(dataset, digest)} lists {document.clips} clips, its parts hold "
                f"{len(order)}: {mend(dataset)}"
            )
        order = order[is_train[order]]
        clip_id = clip_id[order]
        place = np.full(len(parts), -1, dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        return _read(parts, document, clip_id, place)


def _identities(parts: PartFiles) -> tuple[Digests, NDArray[np.bool_]]:
    """Of each row its clip, and whether it is of the training split."""
    clip_id = np.empty((len(parts), DIGEST_BYTES), dtype=np.uint8)
    is_train = np.empty(len(parts), dtype=bool)
    for rows, batch in parts.batches("clip_id", "split"):
        clip_id[rows] = digests(batch.column("clip_id"))
        splits, split = coded(batch.column("split"))
        is_train[rows] = (np.asarray(splits) == "train")[split]
    return clip_id, is_train


def _read(
    parts: PartFiles, document: SnapshotDocument, clip_id: Digests, place: NDArray[np.int32]
) -> ClipIndex:
    """The other columns, each row to its place, or left out where that is -1."""
    num = len(clip_id)
    shard, frames = np.empty(num, dtype=np.int32), np.empty(num, dtype=np.int32)
    offset, length = np.empty(num, dtype=np.int64), np.empty(num, dtype=np.int64)
    sha256 = np.empty((num, DIGEST_BYTES), dtype=np.uint8)
    names: dict[bytes, int] = {}
    for rows, batch in parts.batches("shard", "frames", "offset", "length", "sha256"):
        kept = place[rows] >= 0
        to = place[rows][kept]
        values, of_row = coded(batch.column("shard"))
        number = np.asarray([names.setdefault(one, len(names)) for one in values], dtype=np.int32)
        shard[to] = number[of_row][kept]
        frames[to] = numbers(batch.column("frames"))[kept]
        offset[to] = numbers(batch.column("offset"))[kept]
        length[to] = numbers(batch.column("length"))[kept]
        sha256[to] = digests(batch.column("sha256"))[kept]
    shards, shard = _by_digest(names, shard)
    return ClipIndex(document, shards, shard, offset, length, frames, sha256, clip_id)


def _by_digest(
    names: Iterable[bytes], shard: NDArray[np.int32]
) -> tuple[Digests, NDArray[np.int32]]:
    """Shards that are in use, sorted, and the places of the clips' shards among them."""
    seen = np.frombuffer(b"".join(names), dtype=np.uint8).reshape(-1, DIGEST_BYTES)
    used = np.flatnonzero(np.bincount(shard, minlength=len(seen)))
    used = used[unique_order(seen[used])]
    place = np.zeros(len(seen), dtype=np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    return seen[used], place[shard]


def unique_order(values: Digests) -> NDArray[np.intp]:
    """Where digests lie in ascending order; of equal ones, the first alone.

    Sorts by the first 8 bytes, as numbers; only those that are equal in these are looked at whole.
    """
    heads = values[:, :8].copy().view(np.uint64).ravel()
    if sys.byteorder == "little":
        heads.byteswap(inplace=True)
    order = np.argsort(heads, kind="stable")
    heads = heads[order]
    same_as_next = heads[1:] == heads[:-1]
    tied = np.zeros(len(order), dtype=bool)
    tied[1:] |= same_as_next
    tied[:-1] |= same_as_next
    if not tied.any():
        return order
    words = values[order[tied]].view(">u8").astype(np.uint64)
    inner = np.lexsort(words.T[::-1])
    order[tied] = order[tied][inner]
    words = words[inner]
    repeated = np.zeros(len(order), dtype=bool)
    repeated[np.flatnonzero(tied)[1:]] = (words[1:] == words[:-1]).all(axis=1)
    return order[~repeated]
