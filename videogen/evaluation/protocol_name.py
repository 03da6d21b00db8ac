"""Names of protocols, as StyleGAN-V spells them: `fvd2048_128f_subsample8f`."""

import re
from dataclasses import dataclass
from typing import Final

from videogen.config.evaluate import MIN_I3D_FRAMES
from videogen.errors import ConfigError

_NAME: Final = re.compile(
    r"fvd(?P<clips>[1-9]\d*)_(?P<span>[1-9]\d*)f(_subsample(?P<stride>\d+)f)?"
)
_MIN_CLIPS: Final = 2


@dataclass(frozen=True)
class ProtocolName:
    """How many clips a side, and which frames of each."""

    num_clips: int
    num_frames: int
    """That the extractor sees."""
    stride: int = 1
    """Every so many frames of the clip one is taken."""

    def __str__(self) -> str:
        """As it is published: the frames counted are those passed over, too."""
        if self.stride == 1:
            return f"fvd{self.num_clips}_{self.num_frames}f"
        return f"fvd{self.num_clips}_{self.num_frames * self.stride}f_subsample{self.stride}f"

    @classmethod
    def parse(cls, name: str) -> "ProtocolName":
        """The protocol of a name.

        Raises:
            ConfigError: it is none, or leaves the extractor too little to see.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise ConfigError(
                f"protocol {name!r}: give fvdCLIPS_FRAMESf or fvdCLIPS_FRAMESf_subsampleSTRIDEf, "
                "as in fvd2048_16f and fvd2048_128f_subsample8f"
            )
        clips, span, stride = int(match["clips"]), int(match["span"]), int(match["stride"] or 1)
        if clips < _MIN_CLIPS:
            raise ConfigError(f"protocol {name!r}: {clips} clip a side; give at least {_MIN_CLIPS}")
        if not stride or span % stride:
            raise ConfigError(
                f"protocol {name!r}: {span} frames are no multiple of the stride {stride}"
            )
        if span // stride < MIN_I3D_FRAMES:
            raise ConfigError(
                f"protocol {name!r} takes {span // stride} frames of a clip; I3D needs at least "
                f"{MIN_I3D_FRAMES}"
            )
        return cls(clips, span // stride, stride)
