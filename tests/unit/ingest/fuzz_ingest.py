"""The whole ingest over a directory, in a process of its own that may crash or hang.

    python fuzz_ingest.py VIDEOS STORE STALL_S

Prints a line for each source that is begun or done, and the answer as JSON at the end.
"""

import resource
import sys
from pathlib import Path

from in_process import InProcess

from videogen.config.run import RunConfig
from videogen.config.sections import IngestConfig, StorageConfig
from videogen.ingest.stage import ingest
from videogen.progress import ProgressEvent
from videogen.storage.local import LocalStore

_MEMORY_BYTES = 4 << 30


def config_of(videos: Path, root: Path, stall_s: float) -> RunConfig:
    return RunConfig(
        name="fuzz",
        storage=StorageConfig(root=str(root)),
        ingest=IngestConfig(
            sources=(str(videos),),
            resolution=(16, 16),
            max_clip_frames=24,
            stall_timeout_s=stall_s,
            max_quarantined_fraction=1.0,
        ),
    )


def main() -> None:
    videos, root, stall_s = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))

    def tell(event: ProgressEvent) -> None:
        sys.stdout.write(event.message.replace("\n", " ") + "\n")
        sys.stdout.flush()

    answer = ingest(config_of(videos, root, stall_s), LocalStore(root), InProcess(), tell)
    sys.stdout.write(answer.model_dump_json() + "\n")


if __name__ == "__main__":
    main()
