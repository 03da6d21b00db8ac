"""VideoMAE (Tong et al. 2022) as an extractor: content-debiased FVD (Ge et al. 2024).

Reads the encoder from a safetensors file with Hugging Face's tensor names (`VideoMAEModel`,
`VideoMAEForPreTraining`, `VideoMAEForVideoClassification`); sizes are read from shapes, heads have
64 channels. Clips are resampled to 16 frames evenly spread from the first to the last, resized to
224 px as for I3D and normalised by ImageNet's mean and deviation. Features are the mean over all
tokens, after the final norm where the file has one.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from videogen.config.evaluate import ExtractorConfig
from videogen.errors import EvaluationError
from videogen.evaluation.extractors.extractor import Device, Extractor, Precision
from videogen.evaluation.extractors.preprocessing import SIZE, preprocess

NUM_FRAMES: Final = 16
_HEAD_CHANNELS: Final = 64
_EPS: Final = 1e-12
_FC_EPS: Final = 1e-5
_MEAN: Final = (0.485, 0.456, 0.406)
_DEVIATION: Final = (0.229, 0.224, 0.225)
_PATCHES: Final = "embeddings.patch_embeddings.projection"

Weights = Mapping[str, Tensor]
Tokens = Float[Tensor, "b n d"]


class VideoMae:
    """The encoder, for inference."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        kernel = weights[f"{_PATCHES}.weight"]
        self._channels, _, self._tubelet, self._patch, _ = kernel.shape
        count = NUM_FRAMES // self._tubelet * (SIZE // self._patch) ** 2
        self._positions = sinusoids(count, self._channels).to(kernel)
        names = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
        self._layers = [f"encoder.layer.{number}" for number in sorted(map(int, names))]

    def __call__(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b d"]:
        """Mean token of each clip."""
        tokens = self.embed(normalised(resampled(clips)))
        for layer in self._layers:
            tokens = tokens + self._attention(
                layer, self._norm(f"{layer}.layernorm_before", tokens)
            )
            hidden = self._linear(
                f"{layer}.intermediate.dense", self._norm(f"{layer}.layernorm_after", tokens)
            )
            tokens = tokens + self._linear(f"{layer}.output.dense", F.gelu(hidden))
        if "layernorm.weight" in self._weights:
            tokens = self._norm("layernorm", tokens)
        mean = tokens.mean(dim=1)
        if "fc_norm.weight" in self._weights:
            return self._norm("fc_norm", mean, _FC_EPS)
        return mean

    def embed(self, frames: Float[Tensor, "b 16 224 224 c"]) -> Tokens:
        """Tubelets, projected; a tubelet spans all channels and two frames in most models."""
        tubelets = rearrange(
            frames,
            "b (t dt) (h dh) (w dw) c -> b (t h w) (c dt dh dw)",
            dt=self._tubelet,
            dh=self._patch,
            dw=self._patch,
        )
        kernel = self._weights[f"{_PATCHES}.weight"].flatten(1)
        projected = F.linear(tubelets, kernel, self._weights[f"{_PATCHES}.bias"])
        return projected + self._positions

    def _attention(self, layer: str, x: Tokens) -> Tokens:
        inner = f"{layer}.attention.attention"
        query, key, value = (
            rearrange(self._project(inner, name, x), "b n (h d) -> b h n d", d=_HEAD_CHANNELS)
            for name in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        joined = rearrange(mixed, "b h n d -> b n (h d)")
        return self._linear(f"{layer}.attention.output.dense", joined)

    def _project(self, inner: str, name: str, x: Tokens) -> Tokens:
        """Keys have no bias; older files have names of their own for those of the others."""
        bias = self._weights.get(
            f"{inner}.{name[0]}_bias", self._weights.get(f"{inner}.{name}.bias")
        )
        return F.linear(x, self._weights[f"{inner}.{name}.weight"], bias)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor, eps: float = _EPS) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.layer_norm(x, weight.shape, weight, bias, eps)


def videomae_extractor(
    wanted: ExtractorConfig, path: Path, precision: Precision, device: Device
) -> Extractor:
    """The encoder in a file whose hash has been checked.

    Raises:
        EvaluationError: the file holds no VideoMAE encoder.
    """
    try:
        network = VideoMae(read_encoder(path, device))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise EvaluationError(
            f"{path} holds no VideoMAE encoder ({error}): give safetensors with the tensor names "
            "of transformers' VideoMAEModel, or set the extractor's kind"
        ) from error

    def features(clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b d"]:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            return network(clips)

    return Extractor(wanted.name, wanted.sha256, precision, device, chunk=1, network=features)


def read_encoder(path: Path, device: Device) -> Weights:
    """Its float32 tensors by name, without the prefix of models that it is part of."""
    return {
        name.removeprefix("videomae."): tensor.float()
        for name, tensor in load_file(path, device=device).items()
        if not name.startswith("decoder.")
    }


def resampled(clips: UInt8[Tensor, "b t h w c"]) -> UInt8[Tensor, "b 16 h w c"]:
    """16 frames, evenly spread from the first to the last; shorter clips repeat some."""
    places = torch.linspace(0, clips.shape[1] - 1, NUM_FRAMES, dtype=torch.float64).round()
    return clips[:, places.long().to(clips.device)]


def normalised(clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b t 224 224 c"]:
    """By the mean and deviation of ImageNet's pixels in [0, 1]."""
    frames = preprocess(clips)
    return (frames * 0.5 + 0.5 - frames.new_tensor(_MEAN)) / frames.new_tensor(_DEVIATION)


def sinusoids(count: int, channels: int) -> Float[Tensor, "n d"]:
    """Fixed positions (Vaswani et al. 2017): sines in even channels, cosines in odd ones."""
    channel = torch.arange(channels, dtype=torch.float64)
    rates = torch.exp(-math.log(10_000) * 2 * (channel // 2) / channels)
    angles = torch.arange(count, dtype=torch.float64)[:, None] * rates
    angles[:, 0::2], angles[:, 1::2] = angles[:, 0::2].sin(), angles[:, 1::2].cos()
    return angles.float()
