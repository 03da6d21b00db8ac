"""Values that change while a run goes on, as pure functions of the clips seen so far."""

import math

from videogen.config.section import Cosine


def cosine(schedule: Cosine, clips_seen: float, total_clips: float) -> float:
    """From `start` to `end` along half a cosine over `total_clips`; `end` from there on."""
    if schedule.start == schedule.end:
        return schedule.start
    done = min(max(clips_seen / total_clips, 0.0), 1.0)
    return schedule.end + (schedule.start - schedule.end) * (1.0 + math.cos(math.pi * done)) / 2.0


def is_due(interval_clips: int, before: int, after: int) -> bool:
    """Whether going from `before` to `after` clips seen reached a multiple of the interval."""
    return after // interval_clips > before // interval_clips
