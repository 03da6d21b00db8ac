"""What `videogen ingest --json` prints, and the pages and files that are made of a dataset."""

from pathlib import Path

import pytest
from workplace import Workplace

pytestmark = pytest.mark.machine

ANSWER = {
    *("dataset", "snapshot", "sources", "clips", "frames", "quarantined", "skipped", "filtered"),
    *("seconds", "frames_per_s", "peak_rss_bytes"),
}


def test_an_ingest_answers_in_json_and_its_dataset_can_be_looked_at_and_exported(
    workplace: Workplace, tmp_path: Path
) -> None:
    videos, root = tmp_path / "videos", ("--root", str(tmp_path / "store"))
    assert workplace.run("samples", str(videos), "--num-videos", "3").returncode == 0
    (videos / "zero.mp4").touch()
    (videos / "twin.mp4").write_bytes((videos / "sample-00000.mp4").read_bytes())
    answer = workplace.json(
        *("ingest", "smoke", "--set", f"ingest.sources=[{videos}]"),
        *("--set", f"storage.root={root[1]}"),
    )
    assert answer.keys() >= ANSWER
    assert (answer["dataset"], answer["sources"], answer["skipped"]) == ("smoke", 3, 0)
    assert answer["quarantined"] == [
        {
            "source": str(videos / "zero.mp4"),
            "reason": "zero-byte",
            "detail": "the file has no content",
        }
    ]
    assert answer["filtered"] == {"duplicate source": 1}
    assert min(answer["frames"], answer["frames_per_s"], answer["seconds"]) > 0
    assert 50_000_000 < answer["peak_rss_bytes"] < 1 << 30
    page = tmp_path / "page.html"
    workplace.json("dataset", "stats", "smoke", *root, "--out", str(page))
    assert answer["snapshot"][:12] in page.read_text()
    assert "zero-byte" in page.read_text()
    for kind, pattern in (("webdataset", "*.tar"), ("mp4", "**/*.mp4"), ("frames", "*/*/*.png")):
        out = tmp_path / kind
        told = workplace.json(
            "dataset", "export", "smoke", *root, "--format", kind, "--out", str(out)
        )
        assert told["clips"] == answer["clips"]
        made = len(list(out.glob(pattern)))
        assert made == (answer["frames"] if kind == "frames" else told["files"])
