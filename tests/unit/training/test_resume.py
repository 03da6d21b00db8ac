"""Exact resume: two real workers with uneven shares, stopped anywhere, end with the same bits.

Each run ends in files of its last checkpoint; those of a run that was disturbed must be, byte by
byte, those of the run that was not. The workers take torch's own random numbers at every report,
so that their states matter too.
"""

import os
import shutil
import signal
import time
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_dataset import make_dataset

from videogen.artifacts import DatasetRef
from videogen.config.augment import AugmentConfig
from videogen.config.models import DcganConfig, R3ganVConfig
from videogen.config.run import RunConfig
from videogen.config.section import Cosine
from videogen.config.sections import StorageConfig
from videogen.config.settings import apply_environment
from videogen.config.train import TrainConfig
from videogen.progress import ProgressEvent
from videogen.runs.pointer import committed_checkpoints, take_pointer
from videogen.storage.local import LocalStore
from videogen.training import worker
from videogen.training.assembly import TrainTask
from videogen.training.checkpoint import StateDocument
from videogen.training.parallel import Parallel
from videogen.training.session import RunIdentity

WORLD = 2
BUDGET = {
    "global_batch_size": 5,
    "total_clips": 30,
    "num_frames": 4,
    "frame_stride": 2,
    "log_interval_clips": 5,
    "sample_interval_clips": 30,
    "checkpoint_interval_clips": 10,
    "precision": "fp32",
    "learning_rate": Cosine(start=1e-3, end=1e-5),
    "beta2": Cosine(start=0.9, end=0.99),
    "ema_half_life_clips": Cosine(start=2.0, end=20.0),
    "weight_decay": 1e-4,
    "max_gradient_norm": 1.0,
}
MODELS = {
    "r3gan-v": TrainConfig(
        model=R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,), tube_frames=2),
        augment=AugmentConfig(probability=Cosine(start=0.2, end=0.9)),
        gamma=Cosine(start=5.0, end=1.0),
        penalty_interval=2,
    ),
    "dcgan": TrainConfig(model=DcganConfig(base_channels=2), loss="bce", gamma=0.0),
}
PARTS = [
    "generator.", "discriminators.", "ema.", "generator_adam.", "discriminators_adam.",
]  # fmt: skip


class Listener:
    """Draws random numbers at every report; asks for an end, or dies, at one of them."""

    def __init__(self, stop_at: int = 0) -> None:
        self._reports, self._stop_at = 0, stop_at

    def tell(self, event: ProgressEvent) -> None:
        pass

    def should_stop(self) -> bool:
        self._reports += 1
        torch.rand(3)
        return self._reports == self._stop_at

    @property
    def reports(self) -> int:
        return self._reports


class Killer(Listener):
    """Dies by SIGKILL at the report after the second checkpoint was committed."""

    def __init__(self, store: LocalStore, run_id: str) -> None:
        super().__init__()
        self._store, self._run_id = store, run_id

    def should_stop(self) -> bool:
        super().should_stop()
        if self.reports < 5:
            return False
        while [one.clips_seen for one in committed_checkpoints(self._store, self._run_id)] != [
            10,
            20,
        ]:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def _task(root: Path, dataset: DatasetRef, kind: str, run_id: str) -> TrainTask:
    config = RunConfig(name="tiny", train=MODELS[kind].model_copy(update=BUDGET))
    identity = RunIdentity(
        run_id=run_id,
        lease_token="mine",  # noqa: S106 - names an owner, opens nothing
        document=config.stage_document("train"),
        total_clips=30,
        keep_checkpoints=3,
    )
    return TrainTask(config, StorageConfig(root=str(root / "store")), dataset, identity, None)


def _enter(rank: int, root: Path, name: str) -> Parallel:
    torch.set_num_threads(1)
    apply_environment({"XDG_CACHE_HOME": str(root / "cache")})
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{root}/{name}", rank=rank, world_size=WORLD
    )
    return Parallel.joined(torch.device("cpu"))


def _begin(rank: int, root: Path, dataset: DatasetRef) -> None:
    parallel = _enter(rank, root, "begin")
    store = LocalStore(root / "store")
    for kind in MODELS:
        for run_id, stop_at in (("whole", 0), ("asked", 3)):
            task = _task(root, dataset, kind, f"{kind}-{run_id}")
            _own(store, task, parallel)
            worker.run(task, parallel, Listener(stop_at))
    task = _task(root, dataset, "r3gan-v", "r3gan-v-killed")
    _own(store, task, parallel)
    worker.run(task, parallel, Killer(store, "r3gan-v-killed"))


def _go_on(rank: int, root: Path, dataset: DatasetRef) -> None:
    parallel = _enter(rank, root, "go on")
    store = LocalStore(root / "store")
    for kind, end in DISTURBED:
        task = _task(root, dataset, kind, f"{kind}-{end}")
        _own(store, task, parallel)
        worker.run(task, parallel, Listener())
    torch.distributed.destroy_process_group()


def _own(store: LocalStore, task: TrainTask, parallel: Parallel) -> None:
    if parallel.is_first:
        take_pointer(store, task.identity.run_id, task.identity.lease_token)
    parallel.all_reduce(torch.ones(1))


DISTURBED = [
    ("r3gan-v", "asked"),
    ("r3gan-v", "damaged"),
    ("r3gan-v", "killed"),
    ("dcgan", "asked"),
    ("dcgan", "damaged"),
]
"""How a run was disturbed: asked to stop at 15 clips; its last checkpoint was damaged, so that it
goes on from 20; killed at 25, where 20 was committed."""
WENT_ON_FROM = {"asked": 15, "damaged": 20, "killed": 20}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> LocalStore:
    """With all runs at their ends; what a disturbed run went on from is in `before/`."""
    root = tmp_path_factory.mktemp("resume")
    store = LocalStore(root / "store")
    dataset = make_dataset(store, root)
    context = torch.multiprocessing.spawn(_begin, (root, dataset), nprocs=WORLD, join=False)
    assert context is not None
    for process in context.processes:
        process.join()
    assert [process.exitcode for process in context.processes] == [-signal.SIGKILL] * WORLD
    for kind, end in DISTURBED:
        if end == "damaged":
            _damage(root / "store" / "runs", kind)
        newest = committed_checkpoints(store, f"{kind}-{end}")[-2 if end == "damaged" else -1]
        assert newest.clips_seen == WENT_ON_FROM[end]
        for name in ("state.safetensors", "rng.safetensors"):
            store.put(f"before/{kind}-{end}/{name}", store.get(f"{newest.prefix}/{name}").data)
    torch.multiprocessing.spawn(_go_on, (root, dataset), nprocs=WORLD)
    return store


def _damage(runs: Path, kind: str) -> None:
    """Make a run that ended like the undisturbed one, but whose last checkpoint is not whole."""
    whole, damaged = runs / f"{kind}-whole", runs / f"{kind}-damaged"
    shutil.copytree(whole, damaged)
    pointer = damaged / "pointer"
    pointer.write_text(pointer.read_text().replace(f"{whole.name}/", f"{damaged.name}/"))
    newest = max((damaged / "checkpoints").iterdir())
    (newest / "state.safetensors").write_bytes(b"")


@cache
def _end(root: str, run_id: str) -> tuple[dict[str, torch.Tensor], StateDocument, Path]:
    """The state and the document of a run's last checkpoint, and where that is."""
    last = committed_checkpoints(LocalStore(Path(root)), run_id)[-1]
    directory = Path(root) / last.prefix
    document = StateDocument.model_validate_json((directory / "state.json").read_text())
    return load_file(directory / "state.safetensors"), document, directory


def _below(tensors: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    found = {name: value for name, value in tensors.items() if name.startswith(part)}
    assert found
    return found


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("kind", "end"), DISTURBED)
def test_networks_ema_and_optimisers_end_bit_equal(store, kind, end, part):
    whole, _, _ = _end(store.root, f"{kind}-whole")
    resumed, _, _ = _end(store.root, f"{kind}-{end}")
    before = load_file(Path(store.root) / "before" / f"{kind}-{end}" / "state.safetensors")
    mine, theirs = _below(whole, part), _below(resumed, part)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not mine[name].equal(theirs[name])] == []
    assert any(not mine[name].equal(value) for name, value in _below(before, part).items())


@pytest.mark.parametrize(("kind", "end"), DISTURBED)
def test_neither_counters_nor_schedules_nor_how_it_computes_are_lost(store, kind, end):
    _, whole, _ = _end(store.root, f"{kind}-whole")
    _, resumed, _ = _end(store.root, f"{kind}-{end}")
    assert whole.clips_seen == resumed.clips_seen == 30
    assert whole.scalars == resumed.scalars != {}


@pytest.mark.parametrize(("kind", "end"), DISTURBED)
def test_the_random_state_of_every_worker_ends_bit_equal(store, kind, end):
    _, _, whole = _end(store.root, f"{kind}-whole")
    _, _, resumed = _end(store.root, f"{kind}-{end}")
    mine, theirs = (load_file(directory / "rng.safetensors") for directory in (whole, resumed))
    before = load_file(Path(store.root) / "before" / f"{kind}-{end}" / "rng.safetensors")
    assert set(mine) == {"0.cpu", "1.cpu"}
    assert not mine["0.cpu"].equal(mine["1.cpu"])
    for name, state in mine.items():
        assert state.equal(theirs[name])
        assert not state.equal(before[name])


@pytest.mark.parametrize(("kind", "end"), DISTURBED)
def test_the_generator_that_is_exported_ends_the_very_file(store, kind, end):
    _, _, whole = _end(store.root, f"{kind}-whole")
    _, _, resumed = _end(store.root, f"{kind}-{end}")
    name = "generator/generator.safetensors"
    assert (whole / name).read_bytes() == (resumed / name).read_bytes()
