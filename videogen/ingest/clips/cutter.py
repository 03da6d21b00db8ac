"""Which frames of a source form clips, and which split they belong to."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from videogen.config.sections import FilterConfig
from videogen.data.shards.frame_codec import ClipEncoder, Codec, Frame
from videogen.ingest.clips.filters import refusal
from videogen.ingest.clips.looks import ClipLook, FrameLook, after, again, clip_look, look_at
from videogen.ingest.shots.labels import TRANSITION

Split = Literal["train", "holdout"]

_SPLIT_SALT = b"videogen split 1:"
_HASH_RANGE = 2**64


@dataclass(frozen=True)
class CutRule:
    """How long clips are, and how their frames are kept."""

    min_frames: int
    max_frames: int
    stride: int | None
    """Frames from the start of a clip to that of the next; None: end to end."""
    fps: float
    height: int
    width: int
    codec: Codec
    filters: FilterConfig


@dataclass(frozen=True)
class Cut:
    """One clip: frames `first` to `first + frames` of the resampled source, encoded."""

    first: int
    frames: int
    start_s: float
    end_s: float
    data: bytes
    look: ClipLook


@dataclass
class CutCounts:
    """What went by."""

    frames: int = 0
    dropped: int = 0
    """Frames of remainders too short for a clip."""
    transitions: int = 0
    """Frames between shots."""
    shots: int = 0
    filtered: dict[str, int] = field(default_factory=dict)
    """Clips that were left out, by reason; `too short`: a shot, or what is left of one."""

    def leave_out(self, reason: str) -> None:
        """Count one clip that is left out."""
        self.filtered[reason] = self.filtered.get(reason, 0) + 1


def cut(shots: Iterable[tuple[int, Frame]], rule: CutRule, counts: CutCounts) -> Iterator[Cut]:
    """All clips of a source; see `Cutter`."""
    cutter = Cutter(rule, counts)
    for number, frame in shots:
        yield from cutter.add(number, frame)
    yield from cutter.close()


class Cutter:
    """Clips of up to `max_frames`, each within one shot.

    Within a shot clips start every `stride` frames. The last one ends with the shot: it may be
    shorter, but no shorter than `min_frames`, and there is none where an earlier one showed all of
    the rest. A clip that `rule.filters` refuses is counted.
    """

    def __init__(self, rule: CutRule, counts: CutCounts) -> None:
        self._rule = rule
        self._counts = counts
        self._shot: _Shot | None = None

    def add(self, number: int, frame: Frame) -> Iterator[Cut]:
        """One tick of the clock: its shot and frame, uint8 (h w c) RGB; yields finished clips.

        A frame shown twice is the same array.
        """
        if self._shot is not None and number != self._shot.number:
            yield from self.close()
        if number == TRANSITION:
            self._counts.transitions += 1
        else:
            self._shot = self._shot or _Shot(number, self._counts.frames, self._rule, self._counts)
            yield from self._shot.add(frame)
        self._counts.frames += 1

    def close(self) -> Iterator[Cut]:
        """No more frames of this shot."""
        shot, self._shot = self._shot, None
        if shot is not None:
            yield from shot.close()


class _Shot:
    """The frames of the shot at hand that may still become part of a clip."""

    def __init__(self, number: int, first: int, rule: CutRule, counts: CutCounts) -> None:
        self.number = number
        self._rule = rule
        self._counts = counts
        self._stride = rule.stride or rule.max_frames
        self._encoder = ClipEncoder(rule.codec, rule.height, rule.width)
        self._looks: list[FrameLook] = []
        self._first = first
        self._skip = 0
        """Frames up to the start of the next clip."""
        self._shown = 0
        """Of the frames held, how many an earlier clip has."""
        self._last: Frame | None = None
        counts.shots += 1

    def add(self, frame: Frame) -> Iterator[Cut]:
        """Append a frame; yields a clip where it completes one."""
        if self._skip:
            self._skip -= 1
            self._first += 1
            return
        if frame is self._last:
            self._encoder.repeat()
            self._looks.append(again(self._looks[-1]))
        else:
            self._encoder.add(frame)
            look = look_at(frame)
            self._looks.append(after(look, self._looks[-1]) if self._looks else look)
        self._last = frame
        if len(self._looks) == self._rule.max_frames:
            yield from self._clip()
            self._move_on()

    def close(self) -> Iterator[Cut]:
        """The shot is over; yields the clip of its last frames, if they are enough."""
        unseen = len(self._looks) - self._shown
        if not unseen:
            return
        if len(self._looks) >= self._rule.min_frames:
            yield from self._clip()
        else:
            self._counts.leave_out("too short")
            self._counts.dropped += unseen

    def _clip(self) -> Iterator[Cut]:
        look = clip_look(self._looks)
        reason = refusal(look, self._rule.filters)
        if reason is not None:
            self._counts.leave_out(reason)
            return
        end = self._first + len(self._looks)
        yield Cut(
            first=self._first,
            frames=len(self._looks),
            start_s=self._first / self._rule.fps,
            end_s=end / self._rule.fps,
            data=self._encoder.packed(),
            look=look,
        )

    def _move_on(self) -> None:
        """To the start of the next clip."""
        length = len(self._looks)
        gone = min(self._stride, length)
        self._encoder.drop(gone)
        del self._looks[:gone]
        self._skip = self._stride - gone
        self._shown = length - gone
        self._first += gone
        if gone == length:
            self._last = None


def clip_id(source_sha256: str, cut: Cut, ingest_digest: str) -> str:
    """sha256, as hex, of what a clip is: the source's content, the span, and the ingest."""
    spelling = f"{source_sha256}\n{cut.first}\n{cut.frames}\n{ingest_digest}"
    return hashlib.sha256(spelling.encode()).hexdigest()


def split_of(source_sha256: str, holdout_fraction: float) -> Split:
    """The split of all clips of a source: decided by its content alone, so it never changes."""
    digest = hashlib.sha256(_SPLIT_SALT + bytes.fromhex(source_sha256)).digest()
    place = int.from_bytes(digest[:8], "big") / _HASH_RANGE
    return "holdout" if place < holdout_fraction else "train"
