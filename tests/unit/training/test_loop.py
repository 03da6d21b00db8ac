import dataclasses
import itertools
import time
from dataclasses import dataclass, field
from time import perf_counter

import pytest
import torch

from videogen.config.train import TrainConfig
from videogen.errors import TrainingError
from videogen.training.loop import Guard, Hooks, train
from videogen.training.meter import Meter
from videogen.training.parallel import Parallel


@dataclass
class Batch:
    frames: torch.Tensor
    times: torch.Tensor
    labels: None = None


@dataclass
class Recorder:
    """A step and hooks that note what is asked of them."""

    seen: list[tuple] = field(default_factory=list)
    stop_at: int | None = None
    clips: int = 0

    def set_progress(self, clips_seen):
        self.seen.append(("progress", clips_seen))

    def update_discriminator(self, real, times, labels=None):
        self.seen.append(("discriminator", float(real.sum())))
        return {"loss_d": real.mean()}

    def update_generator(self, real, times, labels=None):
        self.seen.append(("generator", float(real.sum())))
        return {"loss_g": 2 * real.mean()}

    def update_ema(self, clips_seen):
        self.clips = clips_seen
        self.seen.append(("ema", clips_seen))

    def hooks(self):
        return Hooks(
            report=lambda figures, clips: self.seen.append(("report", clips, dict(figures))),
            sample=lambda clips: self.seen.append(("sample", clips)),
            checkpoint=lambda clips: self.seen.append(("checkpoint", clips)),
            should_stop=lambda: self.stop_at is not None and self.clips >= self.stop_at,
        )

    def named(self, name):
        return [entry[1] for entry in self.seen if entry[0] == name]


def batches():
    return (Batch(torch.full((4,), float(i)), torch.zeros(4)) for i in itertools.count())


CONFIG = TrainConfig(
    global_batch_size=4,
    total_clips=30,
    log_interval_clips=8,
    sample_interval_clips=20,
    checkpoint_interval_clips=12,
)


def test_a_step_is_schedules_then_discriminator_then_generator_then_ema():
    recorder = Recorder()
    config = CONFIG.model_copy(update={"total_clips": 8, "log_interval_clips": 100})
    train(config, recorder, batches(), recorder.hooks(), parallel=Parallel())
    assert [entry[:2] for entry in recorder.seen[:8]] == [
        ("progress", 0), ("discriminator", 0), ("generator", 0), ("ema", 4),
        ("progress", 4), ("discriminator", 4), ("generator", 4), ("ema", 8),
    ]  # fmt: skip


def test_progress_counts_the_clips_of_all_workers():
    recorder = Recorder()
    config = CONFIG.model_copy(update={"global_batch_size": 12, "total_clips": 36})
    assert train(config, recorder, batches(), recorder.hooks(), parallel=Parallel()) == 36
    assert recorder.named("progress") == [0, 12, 24]
    assert recorder.named("ema") == [12, 24, 36]


def test_hooks_are_called_at_their_intervals_and_at_the_end_which_is_a_whole_step():
    recorder = Recorder()
    assert train(CONFIG, recorder, batches(), recorder.hooks(), parallel=Parallel()) == 32
    assert recorder.named("report") == [8, 16, 24, 32]
    assert recorder.named("sample") == [20, 32]
    assert recorder.named("checkpoint") == [12, 24, 32]
    assert recorder.seen[-1] == ("checkpoint", 32)


def test_figures_are_means_since_the_last_report():
    recorder = Recorder()
    train(CONFIG, recorder, batches(), recorder.hooks(), parallel=Parallel())
    reports = [entry[2] for entry in recorder.seen if entry[0] == "report"]
    assert [figures["loss_d"] for figures in reports] == [0.5, 2.5, 4.5, 6.5]
    assert [figures["loss_g"] for figures in reports] == [1, 5, 9, 13]
    assert all(0 <= figures["data_wait_fraction"] <= 1 for figures in reports)
    assert all(figures["clips_per_s"] > 0 for figures in reports)


def test_a_resumed_loop_goes_on_with_the_same_intervals():
    recorder = Recorder()
    train(CONFIG, recorder, batches(), recorder.hooks(), parallel=Parallel(), clips_seen=12)
    assert recorder.named("progress") == [12, 16, 20, 24, 28]
    assert recorder.named("report") == [16, 24, 32]


def test_a_stop_ends_at_the_next_report_with_a_checkpoint():
    recorder = Recorder(stop_at=12)
    assert train(CONFIG, recorder, batches(), recorder.hooks(), parallel=Parallel()) == 16
    assert recorder.seen[-1] == ("checkpoint", 16)


def test_where_nothing_is_left_there_is_still_a_checkpoint():
    recorder = Recorder()
    train(CONFIG, recorder, batches(), recorder.hooks(), parallel=Parallel(), clips_seen=32)
    assert recorder.seen == [("checkpoint", 32)]


def test_a_metric_of_some_steps_is_averaged_over_those():
    meter = Meter(Parallel())
    meter.add({"loss": torch.tensor(1.0), "r1": torch.tensor(8.0)}, 4, 4)
    meter.add({"loss": torch.tensor(3.0)}, 4, 4)
    figures, stop = meter.read(stop=True)
    assert (figures["loss"], figures["r1"], stop) == (2.0, 8.0, True)


def test_the_guard_lets_single_skips_pass_and_ends_a_run_that_skips_most():
    guard = Guard(global_batch=4, clips_seen=40)
    for clips, skipped in ((80, 0.3), (120, 0.9)):
        guard.check({"skipped_updates": skipped}, clips)
    with pytest.raises(TrainingError, match=r"before 160 clips: 11 updates of the last 10 steps"):
        guard.check({"skipped_updates": 1.1}, 160)


def test_the_guard_waits_for_steps_enough_however_short_an_interval_is():
    guard = Guard(global_batch=4, clips_seen=0)
    guard.check({"skipped_updates": 2.0}, 4)  # reported after every step
    for clips in range(8, 80, 4):
        guard.check({"skipped_updates": 0.0}, clips)
    for clips in range(80, 96, 4):
        guard.check({"skipped_updates": 2.0}, clips)
    with pytest.raises(TrainingError, match=r"train\.learning_rate"):
        guard.check({"skipped_updates": 2.0}, 96)


def test_max_hours_end_the_run_at_the_first_report_after_them_with_a_checkpoint():
    recorder, config = Recorder(), CONFIG.model_copy(update={"max_hours": 1e-9})
    assert train(config, recorder, batches(), recorder.hooks(), parallel=Parallel()) == 8
    assert recorder.seen[-1] == ("checkpoint", 8)


def test_hours_are_counted_from_the_start_of_the_loop_and_by_the_first_worker_alone():
    config = CONFIG.model_copy(update={"max_hours": 1.0})
    recorder = Recorder()
    assert train(config, recorder, batches(), recorder.hooks(), parallel=Parallel()) == 32
    short, other = CONFIG.model_copy(update={"max_hours": 1e-9}), Parallel(rank=1)
    assert train(short, Recorder(), batches(), recorder.hooks(), parallel=other) == 32


def test_stalls_by_checkpoints_are_a_share_of_the_time_since_the_last_report():
    meter = Meter(Parallel())
    began = perf_counter()
    with meter.stalled():
        time.sleep(0.05)
    time.sleep(0.05)
    figures, _ = meter.read(stop=False)
    elapsed = perf_counter() - began
    assert 0.05 / elapsed <= figures["checkpoint_stall_fraction"] < 0.1 / elapsed
    assert meter.read(stop=False)[0]["checkpoint_stall_fraction"] == 0


def test_the_loop_counts_what_a_checkpoint_costs_in_the_report_that_follows():
    recorder = Recorder()
    hooks = dataclasses.replace(recorder.hooks(), checkpoint=lambda _: time.sleep(0.02))
    train(CONFIG, recorder, batches(), hooks, parallel=Parallel())
    stalls = [
        entry[2]["checkpoint_stall_fraction"] for entry in recorder.seen if entry[0] == "report"
    ]
    assert [stall > 0 for stall in stalls] == [False, True, False, True]


def test_nothing_is_read_from_the_device_between_reports():
    """A tensor on `meta` has no values: whoever asks for one raises."""
    meter = Meter(Parallel(device=torch.device("meta")))
    for _ in range(2):
        meter.add({"loss": torch.ones((), device="meta")}, 4, 4)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        meter.read(stop=False)
