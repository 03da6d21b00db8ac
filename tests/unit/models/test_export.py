import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from videogen.config.models import DcganConfig, MocoganConfig, R3ganVConfig
from videogen.errors import CorruptObjectError
from videogen.models.build import build_generator
from videogen.models.export import GeneratorSpec, load_generator, save_weights
from videogen.models.sampling import generate

SMALL = R3ganVConfig(generator_channels=(16,))


def spec_of(model):
    return GeneratorSpec(model=model, height=32, width=32, num_frames=16, fps=8.0)


@pytest.fixture
def exported(tmp_path):
    save_weights(build_generator(SMALL, (32, 32), 16).state_dict(), tmp_path, spec_of(SMALL))
    return tmp_path


@pytest.mark.parametrize(
    "model",
    [SMALL, DcganConfig(base_channels=8), MocoganConfig(generator_channels=8)],
    ids=lambda one: one.kind,
)
def test_a_loaded_generator_makes_the_same_pixels(model, tmp_path):
    generator = build_generator(model, (32, 32), 16).eval()
    save_weights(generator.state_dict(), tmp_path / "new" / "directory", spec_of(model))
    loaded, spec = load_generator(tmp_path / "new" / "directory")
    assert spec == spec_of(model)
    assert not loaded.training
    assert np.array_equal(generate(generator, [1, 2], 20), generate(loaded, [1, 2], 20))


def test_loading_leaves_the_global_random_state_alone(exported):
    before = torch.get_rng_state()
    load_generator(exported)
    assert torch.equal(before, torch.get_rng_state())


def test_nothing_in_the_directory_is_a_pickle(exported):
    assert sorted(path.name for path in exported.iterdir()) == [
        "generator.json", "generator.safetensors",
    ]  # fmt: skip
    json.loads((exported / "generator.json").read_text())


def change_spec(directory, **changes):
    path = directory / "generator.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_weights(directory, change):
    path = directory / "generator.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: (d / "generator.json").unlink(),
        lambda d: (d / "generator.safetensors").unlink(),
        lambda d: (d / "generator.json").write_text("{"),
        lambda d: (d / "generator.json").write_bytes(b"\xff\xfe"),
        lambda d: (d / "generator.json").write_text(" " * (2 << 20)),
        lambda d: (d / "generator.safetensors").write_bytes(b"short"),
        lambda d: (d / "generator.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{}"),
        lambda d: (d / "generator.safetensors").write_bytes(
            (d / "generator.safetensors").read_bytes()[:-8]
        ),
        lambda d: change_spec(d, format_version=2),
        lambda d: change_spec(d, unknown=1),
        lambda d: change_spec(d, height=48),
        lambda d: change_spec(d, height=64, width=64),
        lambda d: change_spec(d, model={"kind": "dcgan"}),
        lambda d: change_weights(d, lambda tensors: tensors.pop("basis")),
        lambda d: change_weights(d, lambda tensors: tensors.update(extra=torch.zeros(1))),
        lambda d: change_weights(d, lambda tensors: tensors.update(basis=torch.zeros(1, 4, 4))),
    ],
)
def test_a_damaged_export_is_refused_with_one_line_that_names_the_file(exported, damage):
    damage(exported)
    with pytest.raises(CorruptObjectError, match=str(exported)) as caught:
        load_generator(exported)
    assert "\n" not in str(caught.value)
