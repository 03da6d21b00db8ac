import pytest
import torch

from videogen.config.augment import AugmentConfig
from videogen.data.augment import Draws, augment, cut_out, recolour, translate

CONFIG = AugmentConfig(translation=0.25, colour=0.5, cutout=0.5)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def still_clips(num=4, frames=5):
    """Clips whose frames are all the same."""
    return torch.randn(num, 1, 3, 16, 16, generator=rng()).expand(-1, frames, -1, -1, -1)


def test_every_frame_of_a_clip_is_changed_alike():
    clips = still_clips()
    changed = augment(clips, CONFIG, 1.0, Draws.of(4, rng(1)))
    assert not torch.allclose(changed, clips)
    torch.testing.assert_close(changed, changed[:, :1].expand_as(changed))


def test_clips_are_changed_differently():
    same = still_clips(1).expand(4, -1, -1, -1, -1)
    changed = augment(same, CONFIG, 1.0, Draws.of(4, rng(1)))
    assert not torch.allclose(changed[0], changed[1])


def test_nothing_happens_at_probability_zero():
    clips = still_clips()
    assert torch.equal(augment(clips, CONFIG, 0.0, Draws.of(4, rng(1))), clips)


def test_about_the_given_share_of_clips_is_changed():
    clips = torch.randn(400, 1, 3, 4, 4, generator=rng())
    only_colour = AugmentConfig(translation=0.0, colour=0.5, cutout=0.0)
    changed = augment(clips, only_colour, 0.3, Draws.of(400, rng(1)))
    share = (changed != clips).flatten(1).any(dim=1).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.07)


def test_a_part_of_the_draws_changes_its_clips_as_the_whole_does():
    clips, draws = still_clips(), Draws.of(4, rng(1))
    whole = augment(clips, CONFIG, 0.8, draws)
    parts = [augment(clips[a:b], CONFIG, 0.8, draws.part(a, b)) for a, b in ((0, 1), (1, 4))]
    torch.testing.assert_close(whole, torch.cat(parts))


def test_gradients_pass_through():
    clips = still_clips().clone().requires_grad_()
    augment(clips, CONFIG, 1.0, Draws.of(4, rng(1))).sum().backward()
    assert clips.grad.abs().sum() > 0


def test_translation_moves_whole_pixels_and_lets_black_in():
    clips = torch.arange(16.0).reshape(1, 1, 1, 4, 4)
    moved = translate(clips, torch.tensor([[0.25, -0.5]]))[0, 0, 0]
    assert moved.tolist() == [
        [-1, -1, -1, -1], [2, 3, -1, -1], [6, 7, -1, -1], [10, 11, -1, -1],
    ]  # fmt: skip


def test_recolouring_adds_brightness_and_scales_saturation_and_contrast():
    clips = torch.tensor([0.5, 0.0, -0.5]).reshape(1, 1, 3, 1, 1)
    brighter, greyer, flatter = (
        recolour(clips, torch.eye(3)[kind : kind + 1] * change).flatten().tolist()
        for kind, change in ((0, 0.25), (1, -1.0), (2, -0.5))
    )
    assert brighter == [0.75, 0.25, -0.25]
    assert greyer == [0.0, 0.0, 0.0]
    assert flatter == [0.25, 0.0, -0.25]


def test_the_cutout_is_a_grey_square_around_its_centre():
    cut = cut_out(torch.ones(1, 1, 1, 8, 8), torch.tensor([[0.5, 0.25]]), 0.5)[0, 0, 0]
    assert (cut == 0).nonzero().amin(dim=0).tolist() == [2, 0]
    assert (cut == 0).nonzero().amax(dim=0).tolist() == [5, 3]
