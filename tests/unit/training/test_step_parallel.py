"""The whole step on two workers with uneven shares, against one process."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from videogen.config.train import R3ganVConfig, TrainConfig
from videogen.data.loading.order import Share
from videogen.models.build import build_networks
from videogen.training.parallel import Parallel
from videogen.training.step import TrainStep

BATCH, FRAMES = 5, 8
# Adam makes a step of full length of the smallest gradient, so rounding would show in the weights:
# they hardly move here, and the gradients tell.
MODEL = R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,))
CONFIG = TrainConfig(
    model=MODEL, global_batch_size=BATCH, total_clips=40, num_frames=FRAMES, penalty_interval=2,
    learning_rate=1e-6, gamma=5.0, ema_half_life_clips=8, precision="fp32",
)  # fmt: skip


def _train(parallel: Parallel, share: Share) -> dict[str, torch.Tensor]:
    """The state, and the last gradients, after three steps; the second one meets a NaN."""
    networks = build_networks(MODEL, (32, 32), FRAMES, seed=parallel.rank)
    step = TrainStep(CONFIG, networks, parallel, share)
    start, end = share.start, share.end
    rng = torch.Generator().manual_seed(1)
    times = torch.arange(FRAMES).float().expand(end - start, -1)
    for clips_seen in range(0, 3 * BATCH, BATCH):
        real = torch.randn(BATCH, FRAMES, 3, 32, 32, generator=rng)
        if clips_seen == BATCH:
            real[3, 0, 0, 0, 0] = torch.nan
        step.set_progress(clips_seen)
        step.update_discriminator(real[start:end], times)
        step.update_generator(real[start:end], times)
        step.update_ema(clips_seen + BATCH)
    gradients = {
        f"gradient.{network}.{name}": parameter.grad
        for network in ("generator", "discriminators")
        for name, parameter in getattr(step, network).named_parameters()
    }
    tensors = {k: v for k, v in step.state_dict().items() if isinstance(v, torch.Tensor)}
    return {**tensors, **gradients}


def _worker(rank: int, root: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{root}/rendezvous", rank=rank, world_size=2
    )
    state = _train(Parallel.joined(torch.device("cpu")), Share(BATCH, 2, rank))
    save_file(
        {name: value.contiguous() for name, value in state.items()},
        Path(root) / f"{rank}.safetensors",
    )
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def workers(tmp_path_factory) -> list[dict[str, torch.Tensor]]:
    root = tmp_path_factory.mktemp("workers")
    torch.multiprocessing.spawn(_worker, (os.fspath(root),), nprocs=2)
    return [load_file(root / f"{rank}.safetensors") for rank in range(2)]


def test_workers_hold_the_same_networks_to_the_last_bit(workers):
    first, second = workers
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_two_workers_do_what_one_process_does(workers):
    alone = _train(Parallel(), Share(BATCH))
    assert alone["discriminators_adam.skipped"].item() == 1
    for network in ("generator", "discriminators"):
        names = [name for name in alone if name.startswith(f"gradient.{network}.")]
        whole, shared = (
            torch.cat([found[name].flatten() for name in names]) for found in (alone, workers[0])
        )
        assert (whole - shared).norm() < 1e-4 * whole.norm()
