"""Where one shot ends and the next begins: cuts, fades and dissolves, but not flashes or motion."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

from videogen.config.sections import ShotConfig
from videogen.ingest.shots.cuts import REACH_S, flash_length, is_cut
from videogen.ingest.shots.glances import Glance, Timed, glance
from videogen.ingest.shots.transitions import MIN_FRAMES, dissolved

TRANSITION = -1
"""The shot number of frames between two shots."""

_MAX_AHEAD = 64
_MIN_AHEAD = 8
_MAX_HELD_BYTES = 256 << 20
_SHORT_S = 0.5

AnyTimed = TypeVar("AnyTimed", bound=Timed)


def label_shots(
    frames: Iterable[AnyTimed], rule: ShotConfig | None
) -> Iterator[tuple[int, AnyTimed]]:
    """Every frame with the number of its shot, from 0, or `TRANSITION` inside a fade or dissolve.

    A frame is held until 1.5 s lie ahead of it, 64 frames, or 256 MiB of them, but at least 8
    frames. Without a rule all is one shot.
    """
    if rule is None:
        yield from ((0, frame) for frame in frames)
        return
    labels = _Labels(rule)
    held: deque[AnyTimed] = deque()
    for frame in frames:
        labels.add(frame)
        held.append(frame)
        while labels.is_settled():
            yield labels.next(), held.popleft()
    while held:
        yield labels.next(), held.popleft()


class _Labels:
    """Glances around the next frame to be labelled, and what is known of those ahead."""

    def __init__(self, rule: ShotConfig) -> None:
        self._rule = rule
        self._seen: list[Glance] = []
        self._here = 0
        """Of `_seen`, the next frame to be labelled."""
        self._done = 0
        """Frames labelled so far."""
        self._max_ahead = _MAX_AHEAD
        self._flash_end = -1
        """The frame of the source at which the picture returned after the last flash."""
        self._mixed: set[int] = set()
        """Frames of the source, not yet labelled, that a transition has."""
        self._shot = -1
        self._begins = True
        """Whether the next frame that no transition has begins a shot."""

    def add(self, frame: Timed) -> None:
        """Look at one more frame."""
        most = _MAX_HELD_BYTES // max(1, frame.picture.nbytes)
        self._max_ahead = max(_MIN_AHEAD, min(_MAX_AHEAD, most))
        self._seen.append(glance(frame, self._seen[-1] if self._seen else None))

    def is_settled(self) -> bool:
        """Whether enough lies ahead of the next frame to label it."""
        ahead = len(self._seen) - 1 - self._here
        if ahead < _MIN_AHEAD:
            return False
        span_s = self._seen[-1].time_s - self._seen[self._here].time_s
        return ahead >= self._max_ahead or span_s >= REACH_S

    def next(self) -> int:
        """The label of the next frame."""
        if not self._is_flash():
            self._begins = self._cuts() or self._begins
        if self._rule.gradual and not self._is_flash():
            self._look_for_transitions()
        is_mixed = self._done in self._mixed
        if is_mixed:
            self._mixed.discard(self._done)
            self._begins = True
        elif self._begins:
            self._shot += 1
            self._begins = False
        self._move_on()
        return TRANSITION if is_mixed else self._shot

    def _is_flash(self) -> bool:
        return self._done <= self._flash_end

    def _cuts(self) -> bool:
        threshold = self._rule.threshold
        if self._here == 0 or not is_cut(self._seen, self._here, threshold):
            return False
        length = flash_length(self._seen, self._here, threshold)
        if length:
            self._flash_end = self._done + length
        return not length

    def _look_for_transitions(self) -> None:
        """Note the frames ahead that a fade or dissolve which begins here has."""
        ahead = self._seen[self._here :]
        soon = ahead[0].time_s + _SHORT_S
        short = next((at for at, one in enumerate(ahead) if one.time_s > soon), len(ahead))
        for window in (ahead[: max(short, MIN_FRAMES + 1)], ahead):
            self._mixed.update(self._done + at for at in dissolved(window))

    def _move_on(self) -> None:
        self._here += 1
        self._done += 1
        if self._here > 2 * _MAX_AHEAD:
            gone = self._here - _MAX_AHEAD
            del self._seen[:gone]
            self._here -= gone
