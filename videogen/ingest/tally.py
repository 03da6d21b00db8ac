"""How far an ingest is, in the figures that people watch."""

from dataclasses import dataclass
from time import monotonic

from videogen.ingest.sources.source import Source
from videogen.ingest.worker.tasks import Reading
from videogen.progress import Progress, ProgressEvent

_TOLD_EVERY_S = 0.1


@dataclass(frozen=True)
class _Underway:
    """A source that a worker is reading."""

    frames: int
    clips: int
    size_bytes: float


class Tally:
    """Counts sources, clips, frames and bytes, those of unfinished sources too."""

    def __init__(self, sources: tuple[Source, ...], progress: Progress) -> None:
        self._sizes = {source.uri: source.size_bytes for source in sources}
        self._total_bytes = sum(self._sizes.values())
        self._progress = progress
        self._began: float | None = None
        self._told = 0.0
        self._underway: dict[str, _Underway] = {}
        self._done_bytes = 0
        self.done = 0
        self.clips = 0
        self.frames = 0
        """Decoded."""
        self.quarantined = 0

    @property
    def frames_per_s(self) -> float:
        """Frames decoded a second since the first worker began."""
        return self._all_frames() / max(self._elapsed_s(), 1e-3)

    def reading(self, told: Reading) -> None:
        """A worker is so far with a source."""
        self._began = self._began or monotonic()
        size = told.fraction * self._sizes.get(told.uri, 0)
        self._underway[told.uri] = _Underway(told.frames, told.clips, size)
        self.tell(f"reading {told.shown}")

    def lost(self, uri: str) -> None:
        """Whoever was reading the source is gone, and what it made of it."""
        self._underway.pop(uri, None)

    def finished(self, uri: str, *, frames: int, clips: int, is_quarantined: bool) -> None:
        """A source is done."""
        self._underway.pop(uri, None)
        self._done_bytes += self._sizes.get(uri, 0)
        self.done += 1
        self.frames += frames
        self.clips += clips
        self.quarantined += is_quarantined

    def tell(self, message: str) -> None:
        """Report; not more than ten times a second, but always the end."""
        is_last = self.done == len(self._sizes)
        if not is_last and monotonic() - self._told < _TOLD_EVERY_S:
            return
        self._told = monotonic()
        self._progress(
            ProgressEvent("ingest", self.done, len(self._sizes), "videos", message, self._values())
        )

    def _values(self) -> dict[str, float]:
        done_bytes = self._done_bytes + sum(one.size_bytes for one in self._underway.values())
        values = {
            "clips": float(self.clips + sum(one.clips for one in self._underway.values())),
            "frames/s": self.frames_per_s,
            "MB": done_bytes / 1e6,
            "quarantined": float(self.quarantined),
        }
        if done_bytes:
            values["left s"] = self._elapsed_s() * (self._total_bytes - done_bytes) / done_bytes
        return values

    def _elapsed_s(self) -> float:
        return monotonic() - self._began if self._began is not None else 0.0

    def _all_frames(self) -> int:
        return self.frames + sum(one.frames for one in self._underway.values())
