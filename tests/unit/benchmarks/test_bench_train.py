"""The parts of `bench train` that need no Ray: what counts in reports, and the plain recipe."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from videogen.benchmarks.bench_process import BenchProcess
from videogen.benchmarks.mocogan_plain import FRAMES, SIZE, PlainMocogan
from videogen.benchmarks.stage_runs import pace_of
from videogen.benchmarks.train_runs import bare_steps
from videogen.config.models import R3ganVConfig
from videogen.config.settings import child_environment
from videogen.config.train import TrainConfig
from videogen.errors import StageFailedError
from videogen.models.build import build_networks
from videogen.presets import mocogan_64
from videogen.progress import ProgressEvent


def _report(done: int, rate: float, wait: float, stall: float) -> ProgressEvent:
    values = {
        "clips_per_s": rate,
        "data_wait_fraction": wait,
        "checkpoint_stall_fraction": stall,
    }
    return ProgressEvent("train", done, 400, "clips", values=values)


def test_a_pace_is_clips_over_seconds_of_the_reports_after_the_warm_up() -> None:
    events = [
        ProgressEvent("train", 0, 400, "clips", "bf16 on channels-last"),
        _report(100, 1.0, 0.9, 0.9),  # the warm-up
        _report(200, 50.0, 0.1, 0.0),  # 2 s
        _report(400, 25.0, 0.0, 0.05),  # 8 s
    ]
    pace = pace_of(events, 100)
    assert pace.clips_per_s == pytest.approx(300 / 10)
    assert pace.data_wait_fraction == pytest.approx(0.2 / 10)
    assert pace.checkpoint_stall_fraction == pytest.approx(0.4 / 10)
    assert pace.decided == "bf16 on channels-last"
    with pytest.raises(StageFailedError, match="reported nothing after 400 clips"):
        pace_of(events, 400)


def test_a_measuring_process_has_one_thread_though_its_main_module_loads_torch(
    tmp_path: Path,
) -> None:
    script = tmp_path / "loads.py"
    script.write_text(
        "import torch\n"
        "from videogen.benchmarks.bench_process import BenchProcess\n"
        "if __name__ == '__main__':\n"
        "    with BenchProcess({0}) as process:\n"
        "        print(process.measure(torch.get_num_threads).frames)\n"
    )
    run = subprocess.run(
        [sys.executable, str(script)],
        env=child_environment({"OMP_NUM_THREADS": "2"}),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout == "1\n"


def test_bare_steps_answer_with_the_clips_that_they_took() -> None:
    tiny = R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,), tube_frames=2)
    config = TrainConfig(model=tiny, num_frames=2, global_batch_size=3, compile="off")
    with BenchProcess({0}) as process:
        measured = process.measure(partial(bare_steps, config, 32, 2))
    assert measured.frames == 6
    assert measured.cpu_seconds > 0


def test_the_plain_recipe_has_the_shapes_of_ours_and_updates_every_network() -> None:
    plain = PlainMocogan(clips=2)
    ours = build_networks(mocogan_64().train.model, (SIZE, SIZE), FRAMES, seed=0)
    video, category = plain.generator.videos(2)
    assert video.shape == (2, 3, FRAMES, SIZE, SIZE)
    assert category.shape == (2,)
    assert plain.images(plain.generator.images(2)[0]).shape == (2, 1, 4, 4)
    assert plain.videos(video).shape == (2, 7)
    theirs = {"generator": plain.generator, "frame": plain.images, "clip": plain.videos}
    mine = {"generator": ours.generator} | {one.view: one for one in ours.discriminators.values()}
    for name, network in theirs.items():
        assert _num_weights(network) == _num_weights(mine[name]), name
    before = {
        name: [value.clone() for value in network.parameters()] for name, network in theirs.items()
    }
    plain.iterate()
    for name, network in theirs.items():
        for value, old in zip(network.parameters(), before[name], strict=True):
            assert not value.equal(old)


def _num_weights(network: torch.nn.Module) -> int:
    """Of all that is convolved or multiplied with, however it is cut."""
    return sum(value.numel() for value in network.parameters() if value.ndim > 1)
