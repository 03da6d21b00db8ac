"""What is in a checkpoint, and what of it a step waits for."""

import errno
import threading
from pathlib import Path
from time import perf_counter

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import IDENTITY, TinyStep, save_ema, session_of

from videogen.errors import CorruptObjectError, TrainingError
from videogen.runs.pointer import committed_checkpoints
from videogen.training import checkpoint
from videogen.training.host_buffers import HostBuffers


def test_a_checkpoint_holds_the_moment_it_was_taken_though_the_step_went_on(tmp_path):
    went_on = threading.Event()

    def export(state, directory):
        assert went_on.wait(10)
        save_ema(state, directory)

    step = TinyStep()
    step.weight.fill_(1.0)
    step.ema.fill_(2.0)
    session = session_of(tmp_path, step=step, export=export)
    session.hooks.checkpoint(21)
    noise = torch.get_rng_state()
    torch.rand(5)
    step.weight.fill_(3.0)
    step.ema.fill_(4.0)
    went_on.set()
    session.close()
    (committed,) = committed_checkpoints(session.store, "tiny")
    directory = Path(session.store.root) / committed.prefix
    state = load_file(directory / "state.safetensors")
    assert (state["weight"] == 1.0).all()
    assert (state["ema.weight"] == 2.0).all()
    assert (load_file(directory / "generator" / "generator.safetensors")["weight"] == 2.0).all()
    assert torch.equal(load_file(directory / "rng.safetensors")["0.cpu"], noise)


def test_a_step_waits_for_no_checkpoint_but_for_the_one_before_the_next(tmp_path):
    release = threading.Event()

    def export(state, directory):
        assert release.wait(10)
        save_ema(state, directory)

    session = session_of(tmp_path, export=export)
    session.hooks.checkpoint(21)
    assert not release.is_set()
    assert committed_checkpoints(session.store, "tiny") == ()
    threading.Timer(0.3, release.set).start()
    began = perf_counter()
    session.hooks.checkpoint(42)
    assert perf_counter() - began > 0.2
    assert [one.clips_seen for one in committed_checkpoints(session.store, "tiny")] >= [21]
    session.close()
    assert [one.clips_seen for one in committed_checkpoints(session.store, "tiny")] == [21, 42]


def test_what_went_wrong_with_a_checkpoint_ends_the_training_at_the_next_report(tmp_path):
    def export(state, directory):
        raise OSError(errno.ENOSPC, "No space left on device")

    session = session_of(tmp_path, export=export)
    session.hooks.checkpoint(21)
    session._publisher._thread.submit(lambda: None).result()
    with pytest.raises(TrainingError, match=r"at 21 clips.*No space left.*make room"):
        session.hooks.report({"loss": 1.0}, 28)
    session.abandon()


def test_a_checkpoint_that_cannot_be_written_is_one_error(tmp_path):
    state = checkpoint.TrainingState(1, {}, {}, {})
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"cannot be written.*TMPDIR"):
        checkpoint.write_checkpoint(state, lambda *_: None, tmp_path / "file" / "c")


def test_a_newer_format_is_refused(tmp_path):
    checkpoint.write_state(checkpoint.TrainingState(1, {}, {}, IDENTITY.document), tmp_path)
    path = tmp_path / "state.json"
    newer = f'"format_version": {checkpoint.FORMAT_VERSION + 1}'
    path.write_text(
        path.read_text().replace(f'"format_version": {checkpoint.FORMAT_VERSION}', newer)
    )
    with pytest.raises(TrainingError, match=r"newer than this videogen reads.*update videogen"):
        checkpoint.read_state(tmp_path, IDENTITY.document)


@pytest.mark.parametrize("name", ["state.safetensors", "rng.safetensors", "state.json"])
def test_a_file_that_is_something_else_is_named(tmp_path, name):
    checkpoint.write_state(checkpoint.TrainingState(1, {}, {}, {}), tmp_path)
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(CorruptObjectError, match=str(tmp_path)):
        checkpoint.read_state(tmp_path, {})


def test_figures_that_are_not_finite_are_kept(tmp_path):
    state = checkpoint.TrainingState(1, {"on": True}, {}, {}, {"loss": float("inf")})
    checkpoint.write_state(state, tmp_path)
    assert checkpoint.read_state(tmp_path, {}).metrics == {"loss": float("inf")}
    assert checkpoint.read_state(tmp_path, {}).step == {"on": True}


def test_host_buffers_are_used_again_and_keep_values_and_layout():
    buffers = HostBuffers()
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tensors = {"image": image, "count": torch.tensor(3)}
    first = buffers.copy(tensors).wait()
    assert all(first[name].equal(value) for name, value in tensors.items())
    assert first["image"].stride() == image.stride()
    image.add_(1)
    assert not first["image"].equal(image)
    addresses = [value.data_ptr() for value in first.values()]
    again = buffers.copy(tensors).wait()
    assert again["image"].equal(image)
    assert [value.data_ptr() for value in again.values()] == addresses
    grown = buffers.copy({"image": torch.ones(7)}).wait()
    assert grown["image"].equal(torch.ones(7))
    assert set(grown) == {"image"}


def test_every_worker_gets_back_its_own_random_state_and_one_more_worker_keeps_its_own():
    states = [torch.Generator().manual_seed(seed).get_state() for seed in (1, 2)]
    random, cpu = {"0.cpu": states[0], "1.cpu": states[1]}, torch.device("cpu")
    for rank, state in enumerate(states):
        checkpoint.restore_random_state(random, rank, cpu)
        assert torch.get_rng_state().equal(state)
    torch.manual_seed(3)
    own = torch.get_rng_state()
    checkpoint.restore_random_state(random, 2, cpu)
    assert torch.get_rng_state().equal(own)
