"""Training around a tiny step, with real processes, a real store and a real pointer."""

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from videogen.config.train import TrainConfig
from videogen.data.loading.order import Share
from videogen.errors import ConfigError, LeaseHeldError, TrainingError
from videogen.progress import ProgressEvent
from videogen.runs.pointer import Committed, committed_checkpoints, take_pointer
from videogen.storage.local import LocalStore
from videogen.training import checkpoint
from videogen.training.loop import train
from videogen.training.parallel import Parallel
from videogen.training.publisher import Outputs
from videogen.training.samples import SampleFiles
from videogen.training.session import RunIdentity, Session

CONFIG = TrainConfig(
    global_batch_size=7,
    total_clips=84,
    num_frames=2,
    log_interval_clips=14,
    sample_interval_clips=42,
    checkpoint_interval_clips=21,
    keep_checkpoints=2,
)
ALONE = Parallel()
IDENTITY = RunIdentity(
    run_id="tiny",
    lease_token="mine",  # noqa: S106 - names an owner, opens nothing
    document={"train": {"learning_rate": {"start": 0.1}, "seed": 0}, "snapshot": "abc"},
    total_clips=CONFIG.total_clips,
    keep_checkpoints=CONFIG.keep_checkpoints,
)


class TinyStep:
    """A generator and a discriminator of one layer each; noise from torch's global state."""

    def __init__(self, parallel: Parallel) -> None:
        torch.manual_seed(0)
        self.generator = parallel.wrap(nn.Linear(3, 4))
        self.discriminator = parallel.wrap(nn.Linear(4, 1))
        self.ema = nn.Linear(3, 4)
        self.ema.load_state_dict(_plain(self.generator).state_dict())
        self.optimizers = {
            "g": torch.optim.Adam(self.generator.parameters(), lr=0.01),
            "d": torch.optim.Adam(self.discriminator.parameters(), lr=0.01),
        }
        self.parallel = parallel
        torch.manual_seed(100 + parallel.rank)

    def set_progress(self, clips_seen: int) -> None:
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = 0.01 / (1 + clips_seen / 100)

    def update_discriminator(self, real: Tensor, times: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self.generator(torch.randn(len(real), 3))
        logits = self.discriminator(real.flatten(1)), self.discriminator(fake)
        loss = (nn.functional.softplus(-logits[0]) + nn.functional.softplus(logits[1])).mean()
        self._apply(loss, len(real), "d")
        return {"loss_d": loss.detach()}

    def update_generator(self, real: Tensor, times: Tensor) -> dict[str, Tensor]:
        judge = _plain(self.discriminator)
        fake = self.generator(torch.randn(len(real), 3))
        loss = nn.functional.softplus(-judge(fake)).mean()
        self._apply(loss, len(real), "g")
        return {"loss_g": loss.detach()}

    def _apply(self, loss: Tensor, local: int, name: str) -> None:
        (loss * self.parallel.weight(local, CONFIG.global_batch_size)).backward()
        self.optimizers[name].step()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()

    def update_ema(self, clips_seen: int) -> None:
        for average, value in zip(self.ema.parameters(), self.generator.parameters(), strict=True):
            average.data.lerp_(value.data, 0.1)

    def modules(self) -> dict[str, nn.Module]:
        return {"g": _plain(self.generator), "d": _plain(self.discriminator), "ema": self.ema}

    def state_dict(self) -> dict[str, Tensor]:
        state = {
            f"{name}.{key}": value
            for name, module in self.modules().items()
            for key, value in module.state_dict().items()
        }
        for name, optimizer in self.optimizers.items():
            for index, moments in optimizer.state_dict()["state"].items():
                state |= {f"adam.{name}.{index}.{key}": value for key, value in moments.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, module in self.modules().items():
            prefix = f"{name}."
            module.load_state_dict(
                {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
            )
        for name, optimizer in self.optimizers.items():
            document = optimizer.state_dict()
            document["state"] = {
                index: {
                    key: state[f"adam.{name}.{index}.{key}"]
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }
                for index in document["param_groups"][0]["params"]
            }
            optimizer.load_state_dict(document)


def _plain(module: nn.Module) -> nn.Module:
    return getattr(module, "module", module)


@dataclass
class TinyBatch:
    frames: Tensor
    times: Tensor


def batches(parallel: Parallel, clips_seen: int) -> Iterator[TinyBatch]:
    share = Share(CONFIG.global_batch_size, parallel.world_size, parallel.rank)
    start, end = share.start, share.end
    first = clips_seen
    while True:
        rows = [_clip(first + offset) for offset in range(start, end)]
        yield TinyBatch(torch.stack(rows), torch.zeros(len(rows), 2))
        first += CONFIG.global_batch_size


def _clip(sample: int) -> Tensor:
    return torch.randn(2, 2, generator=torch.Generator().manual_seed(sample))


class Listener:
    """A channel that keeps what it is told, and asks for an end after some reports."""

    def __init__(self, stop_after: int | None) -> None:
        self.events: list[ProgressEvent] = []
        self.stop_after = stop_after

    def tell(self, event: ProgressEvent) -> None:
        self.events.append(event)

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.events) + 1 >= self.stop_after


def run(
    root: Path,
    parallel: Parallel = ALONE,
    identity: RunIdentity = IDENTITY,
    stop_after: int | None = None,
) -> tuple[int, int, TinyStep, list[ProgressEvent]]:
    """Train in the directory; clips seen before and after, the step, what was told."""
    if parallel.is_first:
        take_pointer(LocalStore(root / "store"), identity.run_id, identity.lease_token)
    step = TinyStep(parallel)
    outputs = Outputs(
        export=lambda state, directory: save_file(
            {name: state[f"ema.{name}"] for name in step.ema.state_dict()},
            directory / "generator.safetensors",
        ),
        draw=lambda: np.zeros((4, 3, 8, 8, 3), np.uint8),
        files=SampleFiles(fps=8.0),
    )
    listener = Listener(stop_after)
    work_dir = root / f"work{parallel.rank}"
    session = Session(
        identity, step, parallel, LocalStore(root / "store"), outputs, listener, work_dir
    )
    before = session.restore()
    after = train(
        CONFIG,
        step,
        batches(parallel, before),
        session.hooks,
        parallel=parallel,
        clips_seen=before,
    )
    session.close()
    return before, after, step, listener.events


def _worker(rank: int, world: int, root: str, port_file: str, stop_after: int | None) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{port_file}", rank=rank, world_size=world
    )
    parallel = Parallel.joined(torch.device("cpu"))
    before, after, step, _ = run(Path(root), parallel, stop_after=stop_after)
    save_file(
        {**step.state_dict(), "before": torch.tensor(before), "after": torch.tensor(after)},
        Path(root) / f"rank{rank}.safetensors",
    )
    torch.distributed.destroy_process_group()


def run_workers(root: Path, world: int, stop_after: int | None = None) -> list[dict[str, Tensor]]:
    """Train with so many processes; each one's final state."""
    port_file = root / f"rendezvous-{os.urandom(4).hex()}"
    torch.multiprocessing.spawn(
        _worker, (world, str(root), str(port_file), stop_after), nprocs=world
    )
    return [load_file(root / f"rank{rank}.safetensors") for rank in range(world)]


def _differing(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> set[str]:
    return {name for name in {*a, *b} if not torch.equal(a[name], b[name])}


def test_a_resumed_run_is_bit_equal_to_an_undisturbed_one_with_uneven_shares(tmp_path):
    """Four clips of a step to one worker, three to the other."""
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir()
    halves.mkdir()
    undisturbed = run_workers(whole, 2)
    stopped = run_workers(halves, 2, stop_after=3)
    resumed = run_workers(halves, 2)
    assert [state["after"] for state in stopped] == [42, 42]
    assert [state["before"] for state in resumed] == [42, 42]
    for one, other in zip(undisturbed, resumed, strict=True):
        assert _differing(one, other) == {"before"}
    assert _differing(resumed[0], resumed[1]) == set()
    assert _differing(stopped[0], resumed[0]) >= {"g.weight", "d.weight", "ema.weight"}


def test_a_checkpoint_restores_another_number_of_workers(tmp_path):
    run_workers(tmp_path, 2, stop_after=3)
    before, after, *_ = run(tmp_path)
    assert (before, after) == (42, 84)


def test_only_the_newest_checkpoints_are_kept_and_the_last_is_the_end(tmp_path):
    run(tmp_path)
    store = LocalStore(tmp_path / "store")
    kept = committed_checkpoints(store, "tiny")
    assert [one.clips_seen for one in kept] == [63, 84]
    found = {info.key.rsplit("/", 1)[0] for info in store.list("runs/tiny/checkpoints/")}
    assert found == {one.prefix for one in kept} | {f"{one.prefix}/generator" for one in kept}


@pytest.mark.parametrize("damage", ["flip", "truncate", "no manifest", "no file", "manifest"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path, damage):
    run(tmp_path)
    newest = committed_checkpoints(LocalStore(tmp_path / "store"), "tiny")[-1]
    state = tmp_path / "store" / newest.prefix / "state.safetensors"
    data = bytearray(state.read_bytes())
    match damage:
        case "flip":
            data[-1] ^= 1
            state.write_bytes(data)
        case "truncate":
            state.write_bytes(data[:-1])
        case "no file":
            state.unlink()
        case "no manifest":
            (state.parent / "MANIFEST.json").unlink()
        case "manifest":
            path = state.parent / "MANIFEST.json"
            path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 0'))
    before, after, _, events = run(tmp_path)
    assert (before, after) == (63, 84)
    assert "newer checkpoint(s) do not verify" in events[0].message


def test_where_none_verifies_training_starts_anew_and_says_so(tmp_path):
    run(tmp_path)
    for one in committed_checkpoints(LocalStore(tmp_path / "store"), "tiny"):
        (tmp_path / "store" / one.prefix / "MANIFEST.json").unlink()
    before, after, _, events = run(tmp_path)
    assert (before, after) == (0, 84)
    assert "starts anew" in events[0].message
    kept = committed_checkpoints(LocalStore(tmp_path / "store"), "tiny")
    assert run(tmp_path)[0] == 84, kept


def test_a_crash_before_the_manifest_leaves_nothing_that_counts(tmp_path):
    class CrashError(Exception):
        pass

    class FailingStore(LocalStore):
        def put(self, key, data):
            if key.endswith("MANIFEST.json"):
                raise CrashError
            return super().put(key, data)

    step = TinyStep(Parallel())
    outputs = Outputs(
        lambda *_: None, lambda: np.zeros((1, 1, 8, 8, 3), np.uint8), SampleFiles(8.0)
    )
    store = FailingStore(tmp_path / "store")
    take_pointer(store, IDENTITY.run_id, IDENTITY.lease_token)
    session = Session(IDENTITY, step, Parallel(), store, outputs, Listener(None), tmp_path / "work")
    session.hooks.checkpoint(21)
    with pytest.raises(CrashError):
        session.close()
    assert list(store.list("runs/tiny/checkpoints/"))
    assert committed_checkpoints(store, "tiny") == ()
    assert run(tmp_path)[0] == 0


def test_checkpoints_of_an_earlier_run_are_gone_on_from_but_ignored_ones_are_not(tmp_path):
    run(tmp_path, stop_after=3)
    earlier = committed_checkpoints(LocalStore(tmp_path / "store"), "tiny")
    other = replace(IDENTITY, run_id="other", earlier=tuple(reversed(earlier)))
    assert run(tmp_path, identity=other)[:2] == (42, 84)
    forced = replace(IDENTITY, ignored=frozenset(one.prefix for one in earlier))
    assert run(tmp_path, identity=forced)[0] == 0


def test_the_end_of_an_earlier_run_is_taken_over_as_a_checkpoint_of_this_one(tmp_path):
    run(tmp_path)
    store = LocalStore(tmp_path / "store")
    earlier = tuple(reversed(committed_checkpoints(store, "tiny")))
    assert run(tmp_path, identity=replace(IDENTITY, run_id="other", earlier=earlier))[:2] == (
        84,
        84,
    )
    (taken,) = committed_checkpoints(store, "other")
    assert taken.clips_seen == 84


def test_another_config_is_refused_and_the_key_named(tmp_path):
    run(tmp_path)
    document = {"train": {"learning_rate": {"start": 0.2}, "seed": 0}, "snapshot": "abc"}
    with pytest.raises(ConfigError, match=r"train\.learning_rate\.start is 0\.2.*with 0\.1"):
        run(tmp_path, identity=replace(IDENTITY, document=document))


def test_a_newer_format_is_refused(tmp_path):
    directory = tmp_path / "checkpoint"
    directory.mkdir()
    checkpoint.write_state(checkpoint.TrainingState(1, {}, {}, IDENTITY.document), directory)
    path = directory / "state.json"
    path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 3'))
    with pytest.raises(TrainingError, match="format 3, newer than"):
        checkpoint.read_state(directory, IDENTITY.document)


def test_a_checkpoint_that_cannot_be_written_is_one_error(tmp_path):
    def fill_the_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    state = checkpoint.TrainingState(1, {}, {}, {})
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        checkpoint.write_checkpoint(state, lambda *_: None, tmp_path / "file" / "c")
    with pytest.raises(TrainingError, match=r"at 1 clips.*No space left.*make room"):
        checkpoint.write_checkpoint(state, fill_the_disk, tmp_path / "c")


def test_figures_that_are_not_finite_are_kept(tmp_path):
    state = checkpoint.TrainingState(1, {"on": True}, {}, {}, {"loss": float("inf")})
    checkpoint.write_state(state, tmp_path)
    assert checkpoint.read_state(tmp_path, {}).metrics == {"loss": float("inf")}
    assert checkpoint.read_state(tmp_path, {}).step == {"on": True}


def test_what_is_committed_after_a_fall_back_takes_the_place_of_what_came_later(tmp_path):
    run(tmp_path)
    for one in committed_checkpoints(LocalStore(tmp_path / "store"), "tiny"):
        (tmp_path / "store" / one.prefix / "MANIFEST.json").unlink()
    assert run(tmp_path, stop_after=3)[:2] == (0, 28)
    assert run(tmp_path)[:2] == (28, 84)


def test_samples_and_progress_are_told_with_clips_seen(tmp_path):
    *_, events = run(tmp_path)
    assert [event.done for event in events] == [14, 28, 42, 56, 70, 84]
    assert events[0].total == 84
    assert events[0].unit == "clips"
    assert {"loss_d", "loss_g", "clips_per_s", "data_wait_fraction"} <= set(events[0].values)
    keys = {info.key for info in LocalStore(tmp_path / "store").list("runs/tiny/samples/")}
    assert keys == {
        f"runs/tiny/samples/{clips:012d}/{name}"
        for clips in (42, 84)
        for name in ("sheet.png", "preview.gif", "preview.mp4")
    }


def test_a_worker_of_an_owner_that_lost_its_lease_commits_nothing(tmp_path):
    store = LocalStore(tmp_path / "store")
    step = TinyStep(ALONE)
    outputs = Outputs(
        lambda *_: None, lambda: np.zeros((1, 1, 8, 8, 3), np.uint8), SampleFiles(8.0)
    )
    take_pointer(store, IDENTITY.run_id, IDENTITY.lease_token)
    session = Session(IDENTITY, step, ALONE, store, outputs, Listener(None), tmp_path / "work")
    take_pointer(store, IDENTITY.run_id, "theirs")
    session.hooks.checkpoint(21)
    with pytest.raises(LeaseHeldError, match="another owner"):
        session.close()
    assert committed_checkpoints(store, IDENTITY.run_id) == ()


def test_committed_names_are_never_used_twice(tmp_path):
    run(tmp_path)
    store = LocalStore(tmp_path / "store")
    first = committed_checkpoints(store, "tiny")[-1]
    forced = replace(IDENTITY, ignored=frozenset([first.prefix]))
    run(tmp_path, identity=forced)
    again = [one for one in committed_checkpoints(store, "tiny") if one.clips_seen == 84]
    assert all(isinstance(one, Committed) for one in again)
    assert again[-1].prefix != first.prefix
