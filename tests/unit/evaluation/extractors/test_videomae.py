"""Golden values: transformers 4.57.6's VideoMAEForVideoClassification with these weights."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from videogen.config.evaluate import ExtractorConfig
from videogen.errors import EvaluationError
from videogen.evaluation.extractors.opening import open_extractor
from videogen.evaluation.extractors.videomae import normalised, resampled, sinusoids

LAYER = {
    "attention.attention.key.weight": (128, 128),
    "attention.attention.q_bias": (128,),
    "attention.attention.query.weight": (128, 128),
    "attention.attention.v_bias": (128,),
    "attention.attention.value.weight": (128, 128),
    "attention.output.dense.bias": (128,),
    "attention.output.dense.weight": (128, 128),
    "intermediate.dense.bias": (64,),
    "intermediate.dense.weight": (64, 128),
    "layernorm_after.bias": (128,),
    "layernorm_after.weight": (128,),
    "layernorm_before.bias": (128,),
    "layernorm_before.weight": (128,),
    "output.dense.bias": (128,),
    "output.dense.weight": (128, 64),
}
SHAPES = {
    "fc_norm.bias": (128,),
    "fc_norm.weight": (128,),
    "videomae.embeddings.patch_embeddings.projection.bias": (128,),
    "videomae.embeddings.patch_embeddings.projection.weight": (128, 3, 2, 16, 16),
    **{f"videomae.encoder.layer.0.{name}": shape for name, shape in LAYER.items()},
    **{f"videomae.encoder.layer.1.{name}": shape for name, shape in LAYER.items()},
}
MEAN_TOKEN = [0.24895653, -2.34593987, 0.86277133, -1.17770052, -1.23579121, -1.50313282]
NORMED = [0.17395286, -0.05341003, 0.05958855, 0.15522569, 0.27627623, -0.10269339]


def random_weights():
    rng = np.random.RandomState(0)
    return {name: (rng.randn(*shape) * 0.1).astype("f4") for name, shape in SHAPES.items()}


def extractor_of(weights, directory, precision="fp32"):
    path = directory / "encoder.safetensors"
    save_file(weights, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    wanted = ExtractorConfig(name="mae", kind="videomae", path=str(path), sha256=digest)
    return open_extractor(wanted, directory, precision)


def clips():
    return np.random.RandomState(1).randint(0, 256, (1, 20, 32, 32, 3)).astype(np.uint8)


def test_features_are_those_of_the_published_model(tmp_path):
    found = extractor_of(random_weights(), tmp_path)(clips())
    assert found.shape == (1, 128)
    np.testing.assert_allclose(found[0, :6], NORMED, atol=2e-6)


def test_a_bare_encoder_gives_the_mean_token(tmp_path):
    bare = {
        name.removeprefix("videomae."): array
        for name, array in random_weights().items()
        if not name.startswith("fc_norm")
    }
    renamed = {name.replace("q_bias", "query.bias"): array for name, array in bare.items()}
    for weights in (bare, renamed):
        found = extractor_of(weights, tmp_path)(clips())
        np.testing.assert_allclose(found[0, :6], MEAN_TOKEN, atol=1e-5)


def test_bf16_is_near_and_not_the_same(tmp_path):
    exact = extractor_of(random_weights(), tmp_path)(clips())
    near = extractor_of(random_weights(), tmp_path, "bf16")(clips())
    assert 0 < np.abs(near - exact).max() < 0.05 * np.abs(exact).max()


def test_sixteen_frames_are_spread_from_the_first_to_the_last():
    clip = torch.arange(31, dtype=torch.uint8).reshape(1, 31, 1, 1, 1)
    assert resampled(clip).flatten().tolist() == list(range(0, 31, 2))
    assert resampled(clip[:, :16]).equal(clip[:, :16])
    assert resampled(clip[:, :9]).flatten().tolist()[-2:] == [7, 8]


def test_pixels_are_normalised_by_imagenets_mean_and_deviation():
    grey = torch.full((1, 1, 2, 2, 3), 128, dtype=torch.uint8)
    found = normalised(grey)[0, 0, 0, 0]
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_positions_are_sines_and_cosines_of_falling_rates():
    found = sinusoids(3, 4)
    np.testing.assert_allclose(found[2], [np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)], 1e-6)


def test_a_file_without_an_encoder_is_refused_by_path(tmp_path):
    with pytest.raises(EvaluationError, match=r"encoder.safetensors holds no VideoMAE encoder"):
        extractor_of({"weight": np.zeros(3, "f4")}, tmp_path)
