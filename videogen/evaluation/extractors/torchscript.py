"""Any scripted video model as an extractor, also the usual `i3d_torchscript.pt`.

A TorchScript file holds code, which runs with the rights of this program: that is why its sha256
is not optional. Give only files whose origin you trust.

The model is called with float32 clips, channels before time (n 3 t h w), one clip at a time, at
their own size and with all their frames, and must answer with one vector a clip. Values are in
[-1, 1]. Where its `forward` has the arguments `rescale`, `resize` and `return_features`, as that
of `i3d_torchscript.pt` (StyleGAN-V) has, values are in [0, 255] and the three are true: it then
scales, resizes and answers with logits itself.
"""

import warnings
from pathlib import Path
from typing import Final

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from videogen.config.evaluate import ExtractorConfig
from videogen.errors import EvaluationError
from videogen.evaluation.extractors.extractor import Device, Extractor, Precision

_OWN_PREPROCESSING: Final = ("rescale", "resize", "return_features")


def torchscript_extractor(
    wanted: ExtractorConfig, path: Path, precision: Precision, device: Device
) -> Extractor:
    """The model in a file whose hash has been checked.

    Raises:
        EvaluationError: the file holds no TorchScript module.
    """
    module = _load(path, device)
    arguments = {argument.name for argument in module.forward.schema.arguments}  # type: ignore[attr-defined] # a scripted method
    flags = (
        dict.fromkeys(_OWN_PREPROCESSING, True) if arguments.issuperset(_OWN_PREPROCESSING) else {}
    )

    def features(clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b d"]:
        frames = rearrange(clips.float(), "b t h w c -> b c t h w").contiguous()
        taken = frames if flags else frames / 127.5 - 1
        try:
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
                found: Tensor = module(taken, **flags)
        except RuntimeError as error:
            raise EvaluationError(
                f"extractor {wanted.name} ({path}) cannot take clips of shape {tuple(frames.shape)}"
                f" (n c t h w): {_last_line(error)}; evaluate with frames that it is made for"
            ) from error
        return found

    return Extractor(wanted.name, wanted.sha256, precision, device, chunk=1, network=features)


def _load(path: Path, device: Device) -> torch.jit.ScriptModule:
    try:
        with warnings.catch_warnings():
            # What it points to, torch.export, does not read these files.
            warnings.filterwarnings("ignore", ".*torch.jit.load", DeprecationWarning)
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError) as error:
        raise EvaluationError(
            f"{path} holds no TorchScript module ({_last_line(error)}): set the extractor's kind, "
            "or save the model by torch.jit.save"
        ) from error
    return module.eval()


def _last_line(error: Exception) -> str:
    """What TorchScript says at the end of its own trace."""
    return str(error).strip().splitlines()[-1].strip()
