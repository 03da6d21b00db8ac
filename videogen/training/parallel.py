"""What the training core knows of other workers: its rank, gradients averaged, small reductions.

Gradients of uneven shares: `wrap` averages over ranks, so a rank that holds `b` of the `B` clips
of a step weights its loss by `b * world_size / B` (`weight`); the average is then the gradient of
the mean over all B clips, exactly as in a single process.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

Reduction = Literal["sum", "mean", "max", "min"]

_OPERATIONS = {
    "sum": distributed.ReduceOp.SUM,
    "mean": distributed.ReduceOp.SUM,
    "max": distributed.ReduceOp.MAX,
    "min": distributed.ReduceOp.MIN,
}


@dataclass(frozen=True)
class Parallel:
    """This worker among all; the default is a single process, for which nothing is sent."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def joined(cls, device: torch.device) -> "Parallel":
        """The worker of the process group that this process has joined, or a single process."""
        if not distributed.is_initialized():
            return cls(device=device)
        return cls(distributed.get_rank(), distributed.get_world_size(), device)

    @property
    def is_first(self) -> bool:
        """Whether this worker writes what is written once."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, on this worker's device, with gradients averaged over all workers.

        Weights and buffers of the first worker are sent to all, once. Buffers are not sent again
        at each forward (`forward_sync_buffers=False`): an update of a discriminator runs it
        several times before one backward, and a buffer written in between would spoil the first.
        """
        module = module.to(self.device)
        if self.world_size == 1:
            return module
        device_ids = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            module, device_ids=device_ids, forward_sync_buffers=False, gradient_as_bucket_view=True
        )

    @contextmanager
    def without_averaging(self, wrapped: Iterable[nn.Module]) -> Iterator[None]:
        """Within it, gradients of wrapped modules add up here, and are sent to nobody yet.

        The first backward outside averages all that has been added up.
        """
        with ExitStack() as stack:
            for module in wrapped:
                if isinstance(module, DistributedDataParallel):
                    stack.enter_context(module.no_sync())
            yield

    @torch.no_grad()
    def average_statistics(self, modules: Iterable[nn.Module], weight: float) -> None:
        """Give all workers the mean of batch norm's statistics; other buffers are constants.

        Each counts by its `weight` (see `weight`); one collective, and none where there is nothing.
        """
        statistics = [
            one
            for module in modules
            for norm in module.modules()
            if isinstance(norm, _BatchNorm)
            for one in norm.buffers(recurse=False)
            if one.is_floating_point()
        ]
        if self.world_size == 1 or not statistics:
            return
        flat = torch.cat([one.flatten() for one in statistics]) * weight
        means = self.all_reduce(flat, "mean").split([one.numel() for one in statistics])
        for buffer, mean in zip(statistics, means, strict=True):
            buffer.copy_(mean.view_as(buffer))

    def all_reduce(self, tensor: Tensor, op: Reduction = "sum") -> Tensor:
        """The elementwise reduction over all workers; a new tensor, with no host sync."""
        reduced = tensor.detach().clone()
        if self.world_size == 1:
            return reduced
        distributed.all_reduce(reduced, _OPERATIONS[op])
        return reduced / self.world_size if op == "mean" else reduced

    def all_gather(self, tensor: Tensor) -> list[Tensor]:
        """Every worker's tensor, by rank; all must have one shape."""
        if self.world_size == 1:
            return [tensor]
        here = tensor.to(self.device)
        gathered = [torch.empty_like(here) for _ in range(self.world_size)]
        distributed.all_gather(gathered, here)
        return gathered

    def broadcast_text(self, text: str) -> str:
        """The first worker's text; that of the others is ignored."""
        if self.world_size == 1:
            return text
        spelling = text.encode()
        size = torch.tensor([len(spelling)], device=self.device)
        distributed.broadcast(size, src=0)
        data = torch.zeros(int(size.item()), dtype=torch.uint8, device=self.device)
        if self.is_first:
            data = torch.tensor(list(spelling), dtype=torch.uint8, device=self.device)
        distributed.broadcast(data, src=0)
        return bytes(data.tolist()).decode()

    def weight(self, local_batch: int, global_batch: int) -> float:
        """What this worker's mean loss is multiplied by, so that uneven shares count per clip."""
        return local_batch * self.world_size / global_batch
