"""Which frames of a source form clips, and which split they belong to."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from videogen.data.frame_codec import ClipEncoder, Codec, Frame

Split = Literal["train", "holdout"]

_SPLIT_SALT = b"videogen split 1:"
_HASH_RANGE = 2**64


@dataclass(frozen=True)
class CutRule:
    """How long clips are, and how their frames are kept."""

    min_frames: int
    max_frames: int
    fps: float
    height: int
    width: int
    codec: Codec


@dataclass(frozen=True)
class Cut:
    """One clip: frames `first` to `first + frames` of the resampled source, encoded."""

    first: int
    frames: int
    start_s: float
    end_s: float
    data: bytes


@dataclass
class CutCounts:
    """Frames that went by."""

    frames: int = 0
    dropped: int = 0
    """Of a remainder too short for a clip."""


def cut(frames: Iterable[Frame], rule: CutRule, counts: CutCounts) -> Iterator[Cut]:
    """Clips of `max_frames`, one after the other without overlap.

    A shorter remainder of at least `min_frames` is a clip too; one below is dropped and counted.
    """
    encoder = ClipEncoder(rule.codec, rule.height, rule.width)
    for frame in frames:
        encoder.add(frame)
        counts.frames += 1
        if len(encoder) == rule.max_frames:
            yield _finish(encoder, rule, counts)
    if len(encoder) >= rule.min_frames:
        yield _finish(encoder, rule, counts)
    counts.dropped += len(encoder)


def clip_id(source_sha256: str, cut: Cut, ingest_digest: str) -> str:
    """sha256, as hex, of what a clip is: the source's content, the span, and the ingest."""
    spelling = f"{source_sha256}\n{cut.first}\n{cut.frames}\n{ingest_digest}"
    return hashlib.sha256(spelling.encode()).hexdigest()


def split_of(source_sha256: str, holdout_fraction: float) -> Split:
    """The split of all clips of a source: decided by its content alone, so it never changes."""
    digest = hashlib.sha256(_SPLIT_SALT + bytes.fromhex(source_sha256)).digest()
    place = int.from_bytes(digest[:8], "big") / _HASH_RANGE
    return "holdout" if place < holdout_fraction else "train"


def _finish(encoder: ClipEncoder, rule: CutRule, counts: CutCounts) -> Cut:
    length = len(encoder)
    first = counts.frames - length
    return Cut(
        first=first,
        frames=length,
        start_s=first / rule.fps,
        end_s=(first + length) / rule.fps,
        data=encoder.finish(),
    )
