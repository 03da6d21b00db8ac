import pytest
import torch

from videogen.config.models import DcganConfig, MocoganConfig, R3ganVConfig
from videogen.models.build import build_generator
from videogen.models.latents import draw

MODELS = [
    DcganConfig(base_channels=8),
    MocoganConfig(generator_channels=8),
    R3ganVConfig(generator_channels=(16,)),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)
def test_a_generator_is_traced_as_one_graph_and_answers_the_same(model):
    torch.manual_seed(0)
    generator = build_generator(model, (32, 32), 3).train()
    latents = draw(generator.latent_shapes(5), 2, torch.Generator().manual_seed(0))
    times = torch.tensor([[0.0, 1.0, 2.5], [0.25, 1.25, 2.75]])
    traced = torch.compile(generator, backend="eager", fullgraph=True, dynamic=False)
    answers, gradients = [], []
    for one in (generator, traced):
        clips = one(latents, times)
        gradients.append(torch.autograd.grad(clips.square().mean(), generator.parameters()))
        answers.append(clips)
    torch.testing.assert_close(answers[1], answers[0])
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs)
