"""A stage that answers at once: reports progress and writes its result, as a stage command does.

`MINIATURE_MODE` may ask for `fail:STAGE` or `wait:STAGE`.
"""

import json
import os
import sys
import time
from pathlib import Path

import yaml

from videogen.config.settings import environment_value
from videogen.execution.lifeline import follow_parent
from videogen.progress import ProgressEvent

_SIZE = {"height": 32, "width": 32}
_ARTIFACTS = {
    "ingest": {
        "dataset": "d", "snapshot": "s", "ingest_digest": "i", "fps": 8.0, **_SIZE,
        "sources": 1, "clips": 2, "frames": 3,
    },
    "train": {
        "run_id": "r", "prefix": "p", "manifest_sha256": "m", "clips_seen": 64, "snapshot": "s",
        "model_kind": "dcgan", "num_frames": 16, "fps": 8.0, "mlflow_run_id": "abc", **_SIZE,
    },
    "evaluate": {
        "metrics": {"fvd": 500.0},
        "yardsticks": {"floor": 100.0, "blank": 700.0},
        "previews": {"sheet.png": "sheet.png"},
        "protocol": {
            "name": "fvd4_16f", "extractor": "i3d", "extractor_sha256": "x", "num_real": 4,
            "num_fake": 4, "num_frames": 16, "frame_stride": 1, **_SIZE,
        },
    },
    "register": {
        "name": "m", "version": "1", "uri": "models:/m/1", "aliases": ["champion"],
        "decision": "champion", "reasons": ["below blank"],
    },
}  # fmt: skip


def main(stage: str, config: str, run_id: str) -> None:
    follow_parent()
    root = Path(yaml.safe_load(Path(config).read_text())["storage"]["root"])
    for done in range(6):
        event = ProgressEvent(stage, done, 5, "steps", values={"loss": 0.5})
        sys.stderr.write(f"{event.to_json()}\n")
    sys.stderr.write("a log line\n")
    mode = environment_value("MINIATURE_MODE")
    if mode == f"fail:{stage}":
        sys.exit("error: dataset d: no clips; add videos")
    if mode == f"wait:{stage}":
        wait(root)
    (root / "sheet.png").write_bytes(b"\x89PNG")
    result = {
        "stage": stage,
        "key": "k",
        "run_id": run_id,
        "code_version": "0",
        "finished_at": "2026-01-01T00:00:00+00:00",
        "seconds": 1.0,
        "artifact": _ARTIFACTS[stage],
    }
    path = root / "runs" / run_id / f"{stage}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result))


def wait(root: Path) -> None:
    (root / "pid").write_text(str(os.getpid()))
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        (root / "asked").touch()
        raise


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[4])
