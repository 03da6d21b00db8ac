"""Several workers against one process."""

import gc
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from videogen.data.loading.order import Share
from videogen.training.parallel import Parallel

BATCH = 7


def _critic() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def _gradients(parallel: Parallel) -> dict[str, Tensor]:
    """Those of a loss with two forwards and a double backward, as a discriminator's is."""
    generator = torch.Generator().manual_seed(1)
    real, fake = torch.randn(2, BATCH, 5, generator=generator, dtype=torch.float64)
    share = Share(BATCH, parallel.world_size, parallel.rank)
    start, end = share.start, share.end
    real, fake = real[start:end].requires_grad_(), fake[start:end].requires_grad_()
    plain = _critic()
    critic = parallel.wrap(plain)
    logits = critic(real), critic(fake)
    loss = nn.functional.softplus(logits[1] - logits[0]).mean()
    for clips, judged in zip((real, fake), logits, strict=True):
        (gradient,) = torch.autograd.grad(judged.sum(), clips, create_graph=True)
        loss = loss + gradient.square().sum(dim=1).mean()
    (loss * parallel.weight(end - start, BATCH)).backward()
    return {name: value.grad for name, value in plain.named_parameters()}


def _worker(rank: int, world: int, root: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{root}/rendezvous", rank=rank, world_size=world
    )
    parallel = Parallel.joined(torch.device("cpu"))
    found = {f"gradient.{name}": value for name, value in _gradients(parallel).items()}
    mine = torch.tensor([1.0, float(rank)])
    for op in ("sum", "mean", "max", "min"):
        found[op] = parallel.all_reduce(mine, op)
    found["unchanged"] = mine
    found["gathered"] = torch.stack(parallel.all_gather(mine))
    norm = nn.BatchNorm1d(2)
    norm.running_mean = mine.clone()
    weight = parallel.weight(Share(BATCH, world, rank).size, BATCH)
    other = nn.Linear(1, 1)
    other.register_buffer("constant", torch.tensor([0.1, 0.7]))  # which a mean would round
    parallel.average_statistics([other, norm], weight)
    found["averaged"], found["constant"] = norm.running_mean, other.constant
    text = parallel.broadcast_text("Größe 1" if rank == 0 else "")
    found["text"] = torch.tensor(list(text.encode()), dtype=torch.uint8)
    save_file(found, Path(root) / f"{rank}.safetensors")
    gc.collect()  # what still holds the group would end it with the interpreter, and abort
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def workers(tmp_path_factory) -> list[dict[str, Tensor]]:
    root = tmp_path_factory.mktemp("workers")
    torch.multiprocessing.spawn(_worker, (2, os.fspath(root)), nprocs=2)
    return [load_file(root / f"{rank}.safetensors") for rank in range(2)]


def test_uneven_shares_reproduce_the_gradient_of_a_single_process(workers):
    alone = _gradients(Parallel())
    for found in workers:
        for name, gradient in alone.items():
            assert torch.allclose(found[f"gradient.{name}"], gradient, rtol=1e-12, atol=1e-14)


def test_reductions_answer_all_workers_and_leave_the_tensor_alone(workers):
    for rank, found in enumerate(workers):
        assert found["sum"].tolist() == [2, 1]
        assert found["mean"].tolist() == [1, 0.5]
        assert found["max"].tolist() == [1, 1]
        assert found["min"].tolist() == [1, 0]
        assert found["gathered"].tolist() == [[1, 0], [1, 1]]
        assert found["unchanged"].tolist() == [1, rank]


def test_statistics_of_batch_norm_are_averaged_by_clip(workers):
    for found in workers:  # four clips saw (1, 0), three (1, 1)
        torch.testing.assert_close(found["averaged"], torch.tensor([1.0, 3 / 7]))


def test_buffers_that_are_no_statistics_stay_as_they_are(workers):
    for found in workers:
        assert torch.equal(found["constant"], torch.tensor([0.1, 0.7]))


def test_the_first_workers_text_reaches_all(workers):
    assert [bytes(found["text"].tolist()).decode() for found in workers] == ["Größe 1"] * 2


def test_a_single_process_needs_no_group():
    parallel = Parallel()
    module = nn.Linear(2, 2)
    assert parallel.wrap(module) is module
    assert parallel.all_reduce(torch.ones(2), "mean").tolist() == [1, 1]
    assert parallel.broadcast_text("x") == "x"
    assert parallel.weight(7, 7) == 1.0
