"""How weights and pictures lie in memory: decided from outside, followed by every forward.

A network starts contiguous; `to_channels_last` lays its weights out anew, and what is computed with
them takes their layout. So no forward says which layout it wants.
"""

import torch
from torch import Tensor, nn

_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def to_channels_last(module: nn.Module) -> None:
    """Lay out the weights of 2-D and 3-D convolutions, in place, with channels as the last axis."""
    for parameter in module.parameters():
        if parameter.dim() in _LAYOUTS:
            parameter.data = _laid_out(parameter.data, _LAYOUTS[parameter.dim()])


def follow(x: Tensor, layer: nn.Module) -> Tensor:
    """Pictures `(n c h w)` or clips `(n c t h w)`, laid out as the weight of a convolution is.

    The kernel must be larger than 1x1, which lies alike in both layouts.
    """
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor):
        raise TypeError(f"{type(layer).__name__} has no weight to follow")
    last = weight.stride(-1) != 1  # the axis of width is not the innermost one
    return x.contiguous(memory_format=_LAYOUTS[x.dim()] if last else torch.contiguous_format)


def to_contiguous(module: nn.Module) -> None:
    """Lay out all weights, in place, as they were made: the width of a kernel as the last axis."""
    for parameter in module.parameters():
        parameter.data = _laid_out(parameter.data, torch.contiguous_format)


def _laid_out(weight: Tensor, layout: torch.memory_format) -> Tensor:
    """A copy with the very strides of the layout.

    `contiguous` leaves those of an axis of length 1, which say nothing of where a number lies. But
    kernels are chosen by them, and gradients have them, of which workers make buckets.
    """
    return torch.empty_like(weight, memory_format=layout).copy_(weight)
