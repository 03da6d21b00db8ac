"""How much memory this process has needed."""

import resource
from pathlib import Path


def peak_rss_bytes() -> int:
    """The most memory this process has held resident.

    From /proc where there is one: what `getrusage` says begins at what the parent held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
