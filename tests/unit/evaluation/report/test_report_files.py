"""Pictures and where they are kept."""

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from some_report import clips, preview, report

from videogen.artifacts import EvaluationReport
from videogen.evaluation.report.page import render
from videogen.evaluation.report.previews import (
    GRID_CLIPS,
    ComparisonPreview,
    draw_comparison,
    draw_previews,
    grid_clips,
)
from videogen.evaluation.report.publish import publish
from videogen.storage.local import LocalStore

PREFIX = "runs/r1/evaluation/0123456789ab"


class Notebook:
    """Keeps the files that a tracker is given."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def log_artifact(self, path: Path, artifact_dir: str = "") -> None:
        self.files[f"{artifact_dir}/{path.name}"] = path.read_bytes()


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    """The files of one preview."""
    return draw_previews(preview())


def frames_of(video: bytes) -> tuple[np.ndarray, float, str]:
    """Frames, rate and comment."""
    with av.open(io.BytesIO(video)) as container:
        rate = float(container.streams.video[0].average_rate or 0)
        frames = [one.to_ndarray(format="rgb24") for one in container.decode(video=0)]
        return np.stack(frames), rate, container.metadata.get("comment", "")


def picture_of(png: bytes) -> tuple[np.ndarray, dict[str, str]]:
    """Pixels and texts."""
    image = Image.open(io.BytesIO(png))
    return np.asarray(image.convert("RGB")), dict(image.info)


def test_real_and_generated_play_in_step_at_one_size() -> None:
    drawn = draw_previews(preview(num_reals=4, num_fakes=9))
    real, real_fps, _ = frames_of(drawn["real.mp4"])
    fake, fake_fps, _ = frames_of(drawn["preview.mp4"])
    assert real.shape == fake.shape
    assert len(real) == 9
    assert real_fps == fake_fps == 8.0


def test_what_shows_generated_clips_says_so_and_real_clips_do_not(drawn: dict[str, bytes]) -> None:
    _, _, of_fakes = frames_of(drawn["preview.mp4"])
    _, _, of_reals = frames_of(drawn["real.mp4"])
    assert json.loads(of_fakes)["ai_generated"] == "true"
    assert json.loads(of_fakes)["run_id"] == "r1"
    assert "ai_generated" not in of_reals
    for sheet in ("sheet.png", "closest.png"):
        assert json.loads(picture_of(drawn[sheet])[1]["Comment"])["ai_generated"] == "true"


def test_the_same_preview_makes_the_same_bytes(drawn: dict[str, bytes]) -> None:
    assert draw_previews(preview()) == drawn


def test_pairs_stand_side_by_side_nearest_first(drawn: dict[str, bytes]) -> None:
    pixels, _ = picture_of(drawn["closest.png"])
    closest = preview().closest
    assert closest is not None
    found = []
    for fake, nearest in zip(closest.fakes, closest.nearest, strict=True):
        rows = [_place_of(pixels, one[0]) for one in (fake, nearest)]
        assert rows[0][0] == rows[1][0]
        assert rows[0][1] < rows[1][1]
        found.append(rows[0][0])
    assert found == sorted(found)


def test_without_pairs_there_is_no_sheet_of_them() -> None:
    shown = preview()
    bare = draw_previews(type(shown)(shown.reals, shown.fakes, shown.fps, shown.title))
    assert set(bare) == {"sheet.png", "real.mp4", "preview.mp4", "preview.gif"}


def test_a_row_of_a_comparison_has_one_seed() -> None:
    models = {"models:/m/1": clips(4, seed=5), "models:/m/2": clips(5, seed=6)}
    drawn = draw_comparison(ComparisonPreview(clips(6, seed=4), models, 8.0))
    assert set(drawn) == {"sheet.png", "real.mp4", "model-1.mp4", "model-2.mp4"}
    pixels, _ = picture_of(drawn["sheet.png"])
    for row in range(4):
        places = [_place_of(pixels, models[name][row, 0]) for name in models]
        assert places[0][0] == places[1][0]
        assert places[0][1] < places[1][1]
    shapes = {name: frames_of(video)[0].shape for name, video in drawn.items() if "mp4" in name}
    assert len(set(shapes.values())) == 1


def test_clips_that_are_large_are_fewer() -> None:
    assert grid_clips(16, 32, 32) == GRID_CLIPS
    assert 4 <= grid_clips(128, 256, 256) < GRID_CLIPS
    assert grid_clips(512, 1024, 1024) == 4


def test_everything_is_kept_twice_and_the_report_names_it(tmp_path: Path) -> None:
    store, notebook = LocalStore(tmp_path), Notebook()
    kept = publish(report(), preview(), store, PREFIX, notebook)  # type: ignore[arg-type]
    assert set(kept.previews) == {
        *("closest.png", "preview.gif", "preview.mp4", "real.mp4", "report.html", "sheet.png")
    }
    for name, key in kept.previews.items():
        assert store.get(key).data == notebook.files[f"evaluation/{name}"]
    written = store.get(f"{PREFIX}/report.json").data
    assert written == notebook.files["evaluation/report.json"]
    assert EvaluationReport.model_validate_json(written) == kept
    page = store.get(kept.previews["report.html"]).data.decode()
    pictures = {name: store.get(key).data for name, key in kept.previews.items()}
    assert page == render(kept, {name: one for name, one in pictures.items() if "html" not in name})
    assert len(page) > sum(len(pictures[one]) for one in ("real.mp4", "preview.mp4"))


def test_all_that_shows_real_clips_lies_where_a_purge_deletes(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    kept = publish(report(), preview(), store, PREFIX, Notebook())  # type: ignore[arg-type]
    below = {info.key for info in store.list("runs/r1/evaluation/")}
    assert {info.key for info in store.list("")} == below
    assert set(kept.previews.values()) == {one for one in below if not one.endswith(".json")}


def _place_of(pixels: np.ndarray, frame: np.ndarray) -> tuple[int, int]:
    """Row and column of a frame, which the sheet shows with each pixel as it is, or repeated."""
    factor = max(1, 64 // max(frame.shape[:2]))
    shown = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width, _ = shown.shape
    corners = np.argwhere((pixels[: -height + 1, : -width + 1] == shown[0, 0]).all(axis=-1))
    for y, x in corners:
        if np.array_equal(pixels[y : y + height, x : x + width], shown):
            return int(y), int(x)
    raise AssertionError("the frame is not on the sheet")
