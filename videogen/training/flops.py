"""Floating-point operations of what runs in a block, by shapes of convolutions and products.

`torch.utils.flop_counter.FlopCounterMode` cannot be used: it fails on `torch.autograd.grad` with
respect to a leaf, as gradient penalties have it, and counts the weight gradient of a grouped
convolution `groups` times over (torch 2.13).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_CONVOLUTION = flop_registry[torch.ops.aten.convolution]


class FlopCount(TorchDispatchMode):
    """Counts while it is entered; a multiplication and an addition are two."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an overload of an operator
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the operator answers
        """Run the operator, and count it."""
        answer = func(*args, **(kwargs or {}))
        operator = func.overloadpacket
        if operator is torch.ops.aten.convolution_backward:
            self.total += _convolution_backward(args)
        else:
            count: Callable[..., int] | None = flop_registry.get(operator)
            if count is not None:
                self.total += count(*args, **(kwargs or {}), out_val=answer)
        return answer


def _convolution_backward(args: Sequence[Any]) -> int:
    """As much as forward for each gradient: of the input, of the weights."""
    gradient, clips, weight, _, stride, padding, dilation, transposed, _, _, wanted = args
    forward: int = _CONVOLUTION(
        clips, weight, None, stride, padding, dilation, transposed, out_val=gradient
    )
    return forward * (bool(wanted[0]) + bool(wanted[1]))
