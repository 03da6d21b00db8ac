"""MoCoGAN as its paper describes it, done plainly: what our `mocogan` is held against.

Written from the paper's public description (Tulyakov et al. 2018) for 64 px and 16 frames: eager,
fp32, contiguous, three-dimensional convolutions, every network with an update of its own, and every
update with samples of its own: images for the image discriminator, clips for the video
discriminator, both for the generator.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLIPS = 32
FRAMES = 16
SIZE = 64
_CONTENT, _MOTION, _CATEGORIES = 50, 10, 6
_WIDTHS = (512, 256, 128, 64)
_NOISE = 0.1
_SLOPE = 0.2
_LEARNING_RATE, _BETAS, _WEIGHT_DECAY = 2e-4, (0.5, 0.999), 1e-5


class PlainMocogan:
    """Networks, optimisers, and an iteration on random real clips."""

    def __init__(self, *, clips: int = CLIPS, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self._clips = clips
        self.generator = _Generator()
        self.images, self.videos = _image_discriminator(), _video_discriminator()
        self._adams: dict[nn.Module, torch.optim.Adam] = {
            network: torch.optim.Adam(
                network.parameters(), lr=_LEARNING_RATE, betas=_BETAS, weight_decay=_WEIGHT_DECAY
            )
            for network in (self.generator, self.images, self.videos)
        }
        self._real = 2 * torch.rand(clips, 3, FRAMES, SIZE, SIZE) - 1

    def iterate(self) -> None:
        """One update of each network."""
        self._update_images()
        self._update_videos()
        self._update_generator()

    def _update_images(self) -> None:
        fake = self.generator.images(self._clips)[0].detach()
        real_logits, fake_logits = self.images(self._real[:, :, 0]), self.images(fake)
        self._step(self.images, _real_loss(real_logits) + _fake_loss(fake_logits))

    def _update_videos(self) -> None:
        fake, category = self.generator.videos(self._clips)
        real_logits, fake_logits = self.videos(self._real), self.videos(fake.detach())
        loss = _real_loss(real_logits[:, :1]) + _fake_loss(fake_logits[:, :1])
        self._step(self.videos, loss + _category_loss(fake_logits, category))

    def _update_generator(self) -> None:
        image, _ = self.generator.images(self._clips)
        video, category = self.generator.videos(self._clips)
        logits = self.videos(video)
        loss = _real_loss(self.images(image)) + _real_loss(logits[:, :1])
        self._step(self.generator, loss + _category_loss(logits, category))

    def _step(self, network: nn.Module, loss: Tensor) -> None:
        self._adams[network].zero_grad()
        loss.backward()
        self._adams[network].step()


class _Generator(nn.Module):
    """A content code and a category for a clip, a motion code for each of its frames."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrence = nn.GRUCell(_MOTION, _MOTION)
        layers: list[nn.Module] = []
        channels = _CONTENT + _CATEGORIES + _MOTION
        for index, width in enumerate(_WIDTHS):
            stride, padding = (1, 0) if index == 0 else (2, 1)
            layers += [
                nn.ConvTranspose2d(channels, width, 4, stride, padding, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        layers += [nn.ConvTranspose2d(channels, 3, 4, 2, 1, bias=False), nn.Tanh()]
        self.decoder = nn.Sequential(*layers)

    def videos(self, num: int) -> tuple[Tensor, Tensor]:
        """Clips (b c t h w), and each one's category."""
        codes, category = self._codes(num)
        frames = self.decoder(codes.flatten(0, 1)[..., None, None])
        return frames.unflatten(0, (num, FRAMES)).transpose(1, 2).contiguous(), category

    def images(self, num: int) -> tuple[Tensor, Tensor]:
        """One frame (b c h w) of each of so many clips."""
        codes, category = self._codes(num)
        chosen = codes[torch.arange(num), torch.randint(FRAMES, (num,))]
        frames: Tensor = self.decoder(chosen[..., None, None])
        return frames, category

    def _codes(self, num: int) -> tuple[Tensor, Tensor]:
        content, category = torch.randn(num, _CONTENT), torch.randint(_CATEGORIES, (num,))
        still = torch.cat([content, F.one_hot(category, _CATEGORIES).float()], dim=1)
        motion, codes = torch.randn(num, _MOTION), []
        for _ in range(FRAMES):
            motion = self.recurrence(torch.randn(num, _MOTION), motion)
            codes.append(torch.cat([still, motion], dim=1))
        return torch.stack(codes, dim=1), category


class _Noise(nn.Module):
    """Adds a little, so that the discriminator does not win at once."""

    def forward(self, values: Tensor) -> Tensor:
        return values + _NOISE * torch.randn_like(values)


def _image_discriminator() -> nn.Sequential:
    """Logits of patches: (b 3 64 64) to (b 1 4 4)."""
    layers: list[nn.Module] = [_Noise(), nn.Conv2d(3, 64, 4, 2, 1, bias=False)]
    for channels, width in ((64, 128), (128, 256)):
        layers += [nn.LeakyReLU(_SLOPE), _Noise(), nn.Conv2d(channels, width, 4, 2, 1, bias=False)]
        layers.append(nn.BatchNorm2d(width))
    layers += [nn.LeakyReLU(_SLOPE), _Noise(), nn.Conv2d(256, 1, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers)


def _video_discriminator() -> nn.Sequential:
    """One logit for real, and one a category: (b 3 16 64 64) to (b 7)."""
    stride, padding = (1, 2, 2), (0, 1, 1)
    layers: list[nn.Module] = [_Noise(), nn.Conv3d(3, 64, 4, stride, padding, bias=False)]
    for channels, width in ((64, 128), (128, 256), (256, 512)):
        layers += [
            nn.LeakyReLU(_SLOPE),
            _Noise(),
            nn.Conv3d(channels, width, 4, stride, padding, bias=False),
            nn.BatchNorm3d(width),
        ]
    layers += [nn.LeakyReLU(_SLOPE), nn.Conv3d(512, 1 + _CATEGORIES, 4, bias=False), nn.Flatten()]
    return nn.Sequential(*layers)


def _real_loss(logits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def _fake_loss(logits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))


def _category_loss(logits: Tensor, category: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, 1:], category)
