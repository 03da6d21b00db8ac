"""Which sources are packed into shards together: planned before any work, from the listing."""

from collections.abc import Iterable

from videogen.ingest.worker.tasks import Fresh

_MIN_GROUPS = 16
_SMALLEST_GROUP_BYTES = 1 << 16
_LARGEST_GROUP_BYTES = 512 << 20
_MOST_SOURCES = 512


def group(sources: Iterable[Fresh]) -> tuple[tuple[Fresh, ...], ...]:
    """Sources from small to large, cut so that a worker is busy for half a minute or so.

    Small sets are spread over at least 16 groups, so that there is work for many workers, and many
    shards to shuffle. Those of one size are in the order of their sha256, which is known for them.
    So the result depends on the contents alone, not on names, workers or time. What is empty
    has groups of its own: nothing is made of it.
    """
    ordered = sorted(sources, key=_place)
    total = sum(one.source.size_bytes for one in ordered)
    limit = min(max(total // _MIN_GROUPS, _SMALLEST_GROUP_BYTES), _LARGEST_GROUP_BYTES)
    groups: list[tuple[Fresh, ...]] = []
    current: list[Fresh] = []
    filled = 0
    for one in ordered:
        size = one.source.size_bytes
        is_full = filled + size > limit or len(current) == _MOST_SOURCES
        follows_empty = size > 0 and filled == 0
        if current and (is_full or follows_empty):
            groups.append(tuple(current))
            current, filled = [], 0
        current.append(one)
        filled += size
    return (*groups, tuple(current)) if current else tuple(groups)


def _place(fresh: Fresh) -> tuple[int, str, str]:
    return fresh.source.size_bytes, fresh.sha256 or "", fresh.source.uri
