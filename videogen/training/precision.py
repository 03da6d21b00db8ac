"""In which number format a step computes, and why.

On CPUs with bf16 instructions (AMX, or AVX-512 BF16) convolutions run in bf16, elsewhere in fp32.
Measured on one core with AVX-512 BF16 and no AMX, `r3gan-v` at 32 px: generator and discriminator
forward and backward take 138 ms in bf16, 334 ms in fp32. Penalties, losses, optimisers and weights
are fp32 everywhere. Channels-last is used throughout: it pays in both formats (fp32 3x3
convolutions: 121 to 261 GFLOP/s on one core).
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch

Requested = Literal["auto", "fp32", "bf16"]

_ISAS_WITHOUT_LIMIT = {"", "ALL", "DEFAULT"}
_ISA_PARTS_WITH_BF16 = ("BF16", "FP16", "AMX", "AVX10")


@dataclass(frozen=True)
class Precision:
    """The format of autocast regions, and a line for people that says why."""

    bf16: bool
    reason: str

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """Within it, convolutions and matrix products run in the chosen format."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.bf16)


FP32 = Precision(bf16=False, reason="fp32")


def decide(requested: Requested, device: torch.device, max_cpu_isa: str | None = None) -> Precision:
    """The format for a device; `max_cpu_isa` is what `ONEDNN_MAX_CPU_ISA` limits oneDNN to."""
    if requested != "auto":
        return Precision(bf16=requested == "bf16", reason=f"{requested}, as configured")
    if device.type == "cuda":
        unit = f"{device} has it" if torch.cuda.is_bf16_supported() else None
    elif _forbids_bf16(max_cpu_isa):
        return Precision(bf16=False, reason=f"fp32: ONEDNN_MAX_CPU_ISA is {max_cpu_isa}")
    else:
        unit = cpu_bf16_unit()
    if unit is None:
        return Precision(bf16=False, reason=f"fp32: {device} has no bf16 instructions")
    return Precision(bf16=True, reason=f"bf16: {unit}")


def _forbids_bf16(max_cpu_isa: str | None) -> bool:
    limit = (max_cpu_isa or "").upper()
    return limit not in _ISAS_WITHOUT_LIMIT and not any(
        part in limit for part in _ISA_PARTS_WITH_BF16
    )


def cpu_bf16_unit() -> str | None:
    """The CPU's fastest unit for bf16 products, or None where it has none."""
    if torch.cpu._is_amx_tile_supported():  # noqa: SLF001 - torch offers no public question
        return "AMX of this CPU"
    if torch.cpu._is_avx512_bf16_supported():  # noqa: SLF001 - torch offers no public question
        return "AVX-512 BF16 of this CPU"
    return None
