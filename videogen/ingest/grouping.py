"""Which sources are packed into shards together: planned before any work, from content alone."""

from collections.abc import Iterable

from videogen.config.sections import IngestConfig
from videogen.data.frame_codec import choose_codec
from videogen.ingest.convert import Inspection

_MIN_GROUPS = 16
_SMALLEST_GROUP_BYTES = 1 << 18
_FILL = 0.95
_UNKNOWN_DURATION_S = 30.0
_CHANNELS = 3
_JPEG_SHARE = 0.35
"""Of raw bytes, JPEG q98 4:4:4 of real video at 128 pixels."""


def estimated_bytes(inspection: Inspection, ingest: IngestConfig) -> int:
    """About how many bytes the clips of a source will take."""
    height, width = ingest.resolution
    frame_bytes = float(height * width * _CHANNELS)
    if choose_codec(ingest.codec, height, width) == "jpeg":
        frame_bytes *= _JPEG_SHARE
    duration_s = inspection.duration_s or _UNKNOWN_DURATION_S
    return int(duration_s * ingest.fps * frame_bytes)


def group(
    inspections: Iterable[Inspection], ingest: IngestConfig
) -> tuple[tuple[Inspection, ...], ...]:
    """Sources in the order of their content's sha256, cut where a shard is about full.

    Small sets are spread over at least 16 groups, so that there is work for many workers, and many
    shards to shuffle. The result depends on the contents alone, not on names, workers or time.
    """
    ordered = sorted(inspections, key=lambda one: one.sha256 or "")
    total = sum(estimated_bytes(one, ingest) for one in ordered)
    spread = max(total // _MIN_GROUPS, _SMALLEST_GROUP_BYTES)
    limit = min(int(_FILL * ingest.shard_size_bytes), spread)
    groups: list[tuple[Inspection, ...]] = []
    current: list[Inspection] = []
    filled = 0
    for one in ordered:
        size = estimated_bytes(one, ingest)
        if current and filled + size > limit:
            groups.append(tuple(current))
            current, filled = [], 0
        current.append(one)
        filled += size
    return (*groups, tuple(current)) if current else tuple(groups)
