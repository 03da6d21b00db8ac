"""The whole step on two workers with uneven shares, against one process."""

import gc
import os
import zlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from videogen.config.models import DcganConfig, R3ganVConfig
from videogen.config.train import TrainConfig
from videogen.data.loading.order import Share
from videogen.models.build import build_networks
from videogen.training.compute import decide
from videogen.training.parallel import Parallel
from videogen.training.step import TrainStep

BATCH, FRAMES = 5, 8
# Adam makes a step of full length of the smallest gradient, so rounding would show in the weights:
# they hardly move here, and the gradients tell.
MODEL = R3ganVConfig(generator_channels=(16,), discriminator_channels=(16,))
DCGAN = DcganConfig(base_channels=8)
CONFIG = TrainConfig(
    global_batch_size=BATCH, total_clips=40, num_frames=FRAMES, penalty_interval=2,
    learning_rate=1e-6, gamma=5.0, ema_half_life_clips=8, precision="fp32",
)  # fmt: skip


CASES: dict[str, tuple[DcganConfig | R3ganVConfig, int | None]] = {
    "r3gan-v": (MODEL, None),
    "micro-batches": (MODEL, 1),  # three on one worker, two on the other
    "batch norm": (DCGAN, None),
}


def _train(case: str, parallel: Parallel, share: Share) -> dict[str, torch.Tensor]:
    """The state, the last gradients, and skips, after three steps; the second meets a NaN."""
    model, micro_batch_clips = CASES[case]
    networks = build_networks(model, (32, 32), FRAMES, seed=parallel.rank)
    config = CONFIG.model_copy(update={"model": model})
    step = TrainStep(config, networks, parallel, share, micro_batch_clips=micro_batch_clips)
    start, end = share.start, share.end
    skipped, rng = [], torch.Generator().manual_seed(1)
    times = torch.arange(FRAMES).float().expand(end - start, -1)
    for clips_seen in range(0, 3 * BATCH, BATCH):
        real = torch.randn(BATCH, FRAMES, 3, 32, 32, generator=rng)
        if clips_seen == BATCH and case != "batch norm":  # whose statistics would keep it
            real[3, 0, 0, 0, 0] = torch.nan
        step.set_progress(clips_seen)
        step.update_discriminator(real[start:end], times)
        skipped.append(step.update_generator(real[start:end], times)["skipped_updates"])
        step.update_ema(clips_seen + BATCH)
    gradients = {
        f"gradient.{network}.{name}": parameter.grad
        for network in ("generator", "discriminators")
        for name, parameter in getattr(step, network).named_parameters()
    }
    tensors = {
        name: value for name, value in step.state_dict().items() if isinstance(value, torch.Tensor)
    }
    return {**tensors, **gradients, "skipped": torch.stack(skipped)}


def _decided(parallel: Parallel, max_cpu_isa: str | None) -> torch.Tensor:
    """What a worker is told, as numbers."""
    networks = build_networks(MODEL, (32, 32), FRAMES, seed=0)
    config = CONFIG.model_copy(update={"model": MODEL, "precision": "auto"})
    compute = decide(config, networks, parallel, batch_clips=2, max_cpu_isa=max_cpu_isa, warn=print)
    return torch.tensor([compute.bf16, compute.channels_last, _checksum(compute.reason)])


def _checksum(text: str) -> int:
    return zlib.crc32(text.encode())


def _worker(rank: int, root: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{root}/rendezvous", rank=rank, world_size=2
    )
    parallel = Parallel.joined(torch.device("cpu"))
    for case in CASES:
        state = _train(case, parallel, Share(BATCH, 2, rank))
        save_file(
            {name: value.contiguous() for name, value in state.items()},
            Path(root) / f"{case}-{rank}.safetensors",
        )
    decided = {
        "alike": _decided(parallel, None),
        "limited": _decided(parallel, "AVX2" if rank == 1 else None),
    }
    save_file(decided, Path(root) / f"decided-{rank}.safetensors")
    gc.collect()  # what still holds the group would end it with the interpreter, and abort
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def workers(tmp_path_factory) -> dict[str, list[dict[str, torch.Tensor]]]:
    root = tmp_path_factory.mktemp("workers")
    torch.multiprocessing.spawn(_worker, (os.fspath(root),), nprocs=2)
    return {
        name: [load_file(root / f"{name}-{rank}.safetensors") for rank in range(2)]
        for name in (*CASES, "decided")
    }


@pytest.mark.parametrize("case", CASES)
def test_workers_hold_the_same_networks_to_the_last_bit(workers, case):
    first, second = workers[case]
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_all_workers_compute_alike_and_only_as_all_of_them_can(workers):
    first, second = workers["decided"]
    assert torch.equal(first["alike"], second["alike"])
    assert torch.equal(first["limited"], second["limited"])
    assert first["limited"][0] == 0


@pytest.mark.parametrize("case", ["r3gan-v", "micro-batches"])
def test_two_workers_do_what_one_process_does(workers, case):
    alone = _train("r3gan-v", Parallel(), Share(BATCH))
    assert alone["skipped"].tolist() == [0, 2, 0]  # of both networks
    for network in ("generator", "discriminators"):
        names = [name for name in alone if name.startswith(f"gradient.{network}.")]
        whole, shared = (
            torch.cat([found[name].flatten() for name in names])
            for found in (alone, workers[case][0])
        )
        assert (whole - shared).norm() < 1e-4 * whole.norm()
