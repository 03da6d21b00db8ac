"""Shards: plain tar files of clips, named by their content, read by offsets.

Each clip is two members, `CLIP.json` (what the clip is) and `CLIP.frames` (see `frame_codec`), so
any tar tool can read a shard. Nothing in a shard depends on where, when or by whom it was written.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from videogen.data.shards.frame_codec import Frames, read_frames
from videogen.errors import CorruptObjectError
from videogen.storage.base import ObjectStore

_BLOCK_BYTES = tarfile.BLOCKSIZE
_TAIL_BYTES = tarfile.RECORDSIZE

__all__ = ["Placed", "ShardWriter", "Written", "read_clip", "read_frames", "shard_key"]


def shard_key(dataset: str, shard: str) -> str:
    """The key of the shard whose content has this sha256."""
    return f"datasets/{dataset}/shards/{shard}.tar"


@dataclass(frozen=True)
class Placed:
    """Where a clip's `.frames` member lies in the shard it went to."""

    clip_id: str
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True)
class Written:
    """A finished shard: a local file until it is uploaded."""

    sha256: str
    path: Path
    clips: tuple[Placed, ...]


class ShardWriter:
    """Packs clips into shards of at most `max_bytes`; a single larger clip has its own shard.

    A context manager. Shards are streamed to files in `directory`, so memory holds one clip.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._tar: tarfile.TarFile | None = None
        self._clips: list[Placed] = []
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, clip_id: str, facts: Mapping[str, object], frames: bytes) -> Written | None:
        """Append a clip; the shard that it did not fit into any more, if one was finished."""
        document = json.dumps(facts, sort_keys=True, ensure_ascii=True).encode()
        finished = None
        needed = _member_bytes(document) + _member_bytes(frames) + _TAIL_BYTES
        if self._file is not None and self._clips and self._file.tell() + needed > self._max_bytes:
            finished = self.finish()
        tar, file = self._open()
        _append(tar, f"{clip_id}.json", document)
        _append(tar, f"{clip_id}.frames", frames)
        offset = file.tell() - _padded(len(frames))
        digest = hashlib.sha256(frames).hexdigest()
        self._clips.append(Placed(clip_id, offset, len(frames), digest))
        return finished

    def finish(self) -> Written | None:
        """Close the shard that is being written, if there is one."""
        if self._tar is None or self._file is None:
            return None
        self._tar.close()
        self._file.close()
        path = self._path()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        written = Written(digest, path, tuple(self._clips))
        self._tar, self._file, self._clips = None, None, []
        self._count += 1
        return written

    def _open(self) -> tuple[tarfile.TarFile, BinaryIO]:
        if self._tar is None or self._file is None:
            self._file = self._path().open("wb")
            self._tar = tarfile.open(  # noqa: SIM115 - closed by finish
                fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT
            )
        return self._tar, self._file

    def _path(self) -> Path:
        return self._directory / f"shard-{self._count:05d}.tar"


def _append(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # its defaults: mode 0644, time 0, user and group 0
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _padded(length: int) -> int:
    return -(-length // _BLOCK_BYTES) * _BLOCK_BYTES


def _member_bytes(data: bytes) -> int:
    return _BLOCK_BYTES + _padded(len(data))


def read_facts(path: Path, key: str) -> dict[str, dict[str, object]]:
    """What a shard on this machine says of its clips, by clip id; `key` is for errors.

    Raises `CorruptObjectError` where it is no shard.
    """
    facts = {}
    try:
        with tarfile.open(path, mode="r:") as tar:
            for member in tar:
                clip_id, _, kind = member.name.partition(".")
                file = tar.extractfile(member) if kind == "json" else None
                if file is not None:
                    facts[clip_id] = dict(json.load(file))
    except (tarfile.TarError, ValueError, TypeError) as error:
        raise CorruptObjectError(
            f"{key} is not a shard: {error}: restore it, or ingest again with --force"
        ) from error
    return facts


class ClipPlace(Protocol):
    """What is needed to find a clip and to check it; hex digests."""

    @property
    def clip_id(self) -> str:
        """Names the clip in errors."""

    @property
    def shard(self) -> str:
        """sha256 of the shard."""

    @property
    def offset(self) -> int:
        """First byte of the `.frames` member in the shard."""

    @property
    def length(self) -> int:
        """Bytes of the member."""

    @property
    def sha256(self) -> str:
        """Of the member."""


def read_clip(store: ObjectStore, dataset: str, clip: ClipPlace) -> Frames:
    """All frames of a clip, uint8 (t h w c), by one range request.

    Raises `CorruptObjectError`, `ObjectMissingError`, `StorageError`, `DatasetError`.
    """
    return read_frames(read_clip_bytes(store, dataset, clip))


def read_clip_bytes(store: ObjectStore, dataset: str, clip: ClipPlace) -> bytes:
    """The verified `.frames` member of a clip, for `read_frames`; errors as of `read_clip`."""
    data = store.get_range(shard_key(dataset, clip.shard), clip.offset, clip.length)
    check_clip(dataset, clip, data)
    return data


def check_clip(dataset: str, clip: ClipPlace, data: bytes) -> None:
    """Raise `CorruptObjectError` unless these are the bytes that were ingested."""
    found = hashlib.sha256(data).hexdigest()
    if found != clip.sha256:
        raise CorruptObjectError(
            f"clip {clip.clip_id} in {shard_key(dataset, clip.shard)} has sha256 {found[:12]}…, "
            f"the snapshot says {clip.sha256[:12]}…: restore that shard, or ingest again with "
            "--force"
        )
