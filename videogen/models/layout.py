"""How a network's weights lie in memory; its forward follows them."""

import torch
from torch import nn

_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def to_channels_last(module: nn.Module) -> None:
    """Lay out the weights of 2-D and 3-D convolutions, in place, with channels as the last axis."""
    for parameter in module.parameters():
        if parameter.dim() in _LAYOUTS:
            layout = _LAYOUTS[parameter.dim()]
            parameter.data = parameter.data.contiguous(memory_format=layout)
