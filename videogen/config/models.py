"""The section train.model: one of the models, chosen by its `kind`."""

from typing import Annotated, Literal

from pydantic import Field

from videogen.config.section import Section

Width = Annotated[int, Field(ge=1)]
Channels = Annotated[tuple[Annotated[int, Field(ge=16, multiple_of=16)], ...], Field(min_length=1)]
"""Multiples of 16: the blocks' grouped convolutions have 16 channels a group."""


class DcganConfig(Section):
    """The seed document's recipe: a DCGAN on frames; it learns no motion.

    A video is a walk between latents.
    """

    kind: Literal["dcgan"] = "dcgan"
    latent_dim: Width = 100
    base_channels: Annotated[
        Width, Field(description="channels of the widest resolution; doubled with each halving")
    ] = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    walk_frames: Annotated[
        int, Field(ge=1, description="frames from one latent of a video to the next")
    ] = 16


class R3ganVConfig(Section):
    """R3GAN's blocks and loss with continuous time: learns content and motion.

    `*_channels` are those at 4, 8, 16, … px; each resolution beyond the list has half of the one
    before, at least 16.
    """

    kind: Literal["r3gan-v"] = "r3gan-v"
    content_dim: Width = 64
    motion_dim: Width = 64
    motion_noise_dim: Annotated[Width, Field(description="size of one motion code")] = 32
    motion_interval: Annotated[
        int, Field(ge=1, description="frames between motion codes: short for fast motion")
    ] = 8
    num_layers: Annotated[
        int, Field(ge=2, le=8, description="a background, and layers that move in front of it")
    ] = 2
    generator_channels: Channels = (128, 128, 96, 48)
    discriminator_channels: Channels = (128, 96, 64)
    generator_blocks: Annotated[int, Field(ge=1, le=8, description="a stage")] = 2
    discriminator_blocks: Annotated[int, Field(ge=1, le=8, description="a stage")] = 1
    tube_frames: Annotated[
        int, Field(ge=1, description="neighbouring frames that the discriminator sees as one image")
    ] = 4


class MocoganConfig(Section):
    """MoCoGAN (Tulyakov et al. 2018): a content code for a clip, a motion code a frame from a GRU.

    Two discriminators, one of single frames and one of clips; the defaults are the paper's.
    """

    kind: Literal["mocogan"] = "mocogan"
    content_dim: Width = 50
    motion_dim: Width = 10
    num_categories: Annotated[
        int, Field(ge=0, description="of motion, found without labels (InfoGAN); 0: none")
    ] = 6
    generator_channels: Annotated[
        Width,
        Field(description="of the widest resolution; doubled with each halving, up to 8-fold"),
    ] = 64
    discriminator_channels: Annotated[
        Width, Field(description="of the first layer; doubled a halving, up to 8-fold")
    ] = 64
    noise: Annotated[
        float, Field(ge=0, description="standard deviation of what is added in discriminators")
    ] = 0.1


ModelConfig = Annotated[DcganConfig | MocoganConfig | R3ganVConfig, Field(discriminator="kind")]
