"""The worker with the real networks, step and loader, in this process."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_dataset import make_dataset

from videogen.artifacts import DatasetRef
from videogen.config.models import MocoganConfig, R3ganVConfig
from videogen.config.run import RunConfig
from videogen.config.section import Cosine
from videogen.config.sections import ExecutionConfig, StorageConfig
from videogen.config.train import TrainConfig
from videogen.errors import ConfigError
from videogen.progress import ProgressEvent
from videogen.runs.pointer import committed_checkpoints, take_pointer
from videogen.storage.local import LocalStore
from videogen.training import worker
from videogen.training.assembly import TrainTask
from videogen.training.parallel import Parallel
from videogen.training.session import RunIdentity

BUDGET = TrainConfig(
    global_batch_size=3,
    total_clips=18,
    log_interval_clips=3,
    sample_interval_clips=18,
    checkpoint_interval_clips=9,
    precision="fp32",
)
SEVERAL_DISCRIMINATORS = {
    "model": MocoganConfig(generator_channels=4, discriminator_channels=4),
    "loss": "bce",
    "gamma": Cosine(start=0.0, end=0.0),
    "weight_decay": 1e-5,
    "num_frames": 10,
}
R3GAN_V = {
    "model": R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,), tube_frames=2),
    "num_frames": 4,
    "frame_stride": 2,
    "penalty_interval": 2,
}


@dataclass
class Listener:
    stop_at: int | None = None
    events: list[ProgressEvent] = field(default_factory=list)

    def tell(self, event: ProgressEvent) -> None:
        self.events.append(event)

    def should_stop(self) -> bool:
        return self.stop_at is not None and len(self.events) >= self.stop_at

    @property
    def messages(self) -> list[str]:
        return [event.message for event in self.events if event.message]


@pytest.fixture
def store(tmp_path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def dataset(store, tmp_path, monkeypatch) -> DatasetRef:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_dataset(store, tmp_path)


def _run(
    store: LocalStore,
    dataset: DatasetRef,
    run_id: str,
    changes: dict[str, object],
    *,
    stop_at: int | None = None,
    micro_batch_clips: int | None = None,
) -> Listener:
    config = RunConfig(
        name="tiny",
        execution=ExecutionConfig(micro_batch_clips=micro_batch_clips),
        train=BUDGET.model_copy(update=changes),
    )
    identity = RunIdentity(
        run_id=run_id,
        lease_token="mine",  # noqa: S106 - names an owner, opens nothing
        document=config.stage_document("train"),
        total_clips=18,
        keep_checkpoints=3,
    )
    listener = Listener(stop_at)
    task = TrainTask(config, StorageConfig(root=store.root), dataset, identity, None)
    take_pointer(store, run_id, identity.lease_token)
    worker.run(task, Parallel(), listener)
    return listener


def test_a_stopped_run_of_several_discriminators_ends_with_the_very_weights_of_an_undisturbed_one(
    store, dataset
):
    _run(store, dataset, "whole", SEVERAL_DISCRIMINATORS)
    _run(store, dataset, "parts", SEVERAL_DISCRIMINATORS, stop_at=3)
    stopped = committed_checkpoints(store, "parts")[-1]
    assert 0 < stopped.clips_seen < 18
    _run(store, dataset, "parts", SEVERAL_DISCRIMINATORS)

    whole, parts = (committed_checkpoints(store, run_id)[-1] for run_id in ("whole", "parts"))
    assert whole.clips_seen == parts.clips_seen == 18
    for name in ("state.safetensors", "rng.safetensors", "generator/generator.safetensors"):
        assert _file(store, whole.prefix, name) == _file(store, parts.prefix, name), name
    assert _file(store, stopped.prefix, "state.safetensors") != _file(
        store, parts.prefix, "state.safetensors"
    )


def test_the_ema_is_what_is_exported(store, dataset):
    _run(store, dataset, "run", R3GAN_V)
    directory = Path(store.root) / committed_checkpoints(store, "run")[-1].prefix
    state = load_file(directory / "state.safetensors")
    exported = load_file(directory / "generator" / "generator.safetensors")
    assert all(value.equal(state[f"ema.{name}"]) for name, value in exported.items())
    assert any(not value.equal(state[f"generator.{name}"]) for name, value in exported.items())


def test_the_first_line_says_all_that_was_decided_and_where_it_goes_on_from(store, dataset):
    hours = {"max_hours": 1.0, "best_metric": "generator_loss"}
    first = _run(store, dataset, "run", {**R3GAN_V, **hours}, stop_at=3, micro_batch_clips=2)
    line = first.messages[0]
    for part in (
        "r3gan-v, 4 frames of 32x32 px at stride 2, relativistic loss",
        "EMA with a half-life of 1,000 clips",
        "7 clips of tiny, kept decoded in memory",
        "1 worker on cpu",
        "3 clips a step in 2 micro-batches",
        "fp32 on channels-last, as configured",
        "a checkpoint every 9 clips, of which 3 are kept and the one with the lowest generator",
        "from 0 to 18 clips, for at most 1 h",
    ):
        assert part in line
    (seen,) = (one.clips_seen for one in committed_checkpoints(store, "run"))
    assert f"from {seen} to 18 clips" in _run(store, dataset, "run", R3GAN_V).messages[0]


def test_a_checkpoint_of_another_config_is_refused_and_the_key_named(store, dataset):
    _run(store, dataset, "run", R3GAN_V, stop_at=2)
    other = {**R3GAN_V, "penalty_interval": 3}
    with pytest.raises(ConfigError, match=r"penalty_interval is 3, but.*made with 2; restore it"):
        _run(store, dataset, "run", other)


def test_what_only_says_how_to_run_may_change_between_starts(store, dataset):
    _run(store, dataset, "run", R3GAN_V, stop_at=2)
    how = {"max_hours": 2.0, "log_interval_clips": 9, "keep_checkpoints": 1, "compile": "off"}
    _run(store, dataset, "run", {**R3GAN_V, **how}, micro_batch_clips=1)
    assert committed_checkpoints(store, "run")[-1].clips_seen == 18


def _file(store: LocalStore, prefix: str, name: str) -> bytes:
    return store.get(f"{prefix}/{name}").data
