"""What is taken over from the config that a model carries."""

import json

import pytest

from videogen.cli.judged_models import carried_config
from videogen.config.loading import to_yaml
from videogen.config.run import RunConfig
from videogen.config.sections import StorageConfig
from videogen.errors import ConfigError
from videogen.registry.model_files import ModelFiles

PROTOCOL = {"snapshot": "5" * 64, "num_real": 190, "num_frames": 12, "seed": 3, "covariance": "n"}


def model(directory, storage, tags):
    directory.mkdir()
    config = RunConfig.model_validate(
        {
            "name": "shapes",
            "storage": storage,
            "execution": {"ray_address": "ray.example:6379", "num_workers": 7},
            "evaluate": {"num_clips": 256, "batch_size": 4},
        }
    )
    (directory / "config.yaml").write_text(to_yaml(config))
    return ModelFiles("models:/m/1", directory, directory, "m", "1", tags)


def test_data_and_protocol_are_carried_over_but_not_where_it_ran(tmp_path):
    storage = {"root": "s3://studio/data", "endpoint_url": "https://s3.example"}
    tags = {"videogen.protocol": json.dumps(PROTOCOL), "videogen.dataset": "other"}
    files = [
        ModelFiles("bare", tmp_path, None, "bare"),
        model(tmp_path / "a", storage, tags),
    ]
    config = carried_config(files, ["evaluate.seed=9", "execution.num_workers=3"])
    assert config.name == "other"
    assert config.storage == StorageConfig.model_validate(storage)
    assert (config.execution.ray_address, config.execution.num_workers) == (None, 3)
    asked = config.evaluate
    assert (asked.num_clips, asked.num_frames, asked.seed, asked.covariance) == (190, 12, 9, "n")
    assert asked.batch_size == 4


@pytest.mark.parametrize(
    ("root", "endpoint_url", "kept"),
    [
        ("s3://videogen", "http://127.0.0.1:20000", False),
        ("s3://videogen", "https://s3.example", True),
        ("s3://videogen", None, True),
        ("s3://studio", "http://127.0.0.1:20000", True),
    ],
)
def test_the_port_that_an_embedded_s3_had_is_forgotten(tmp_path, root, endpoint_url, kept):
    storage = {"root": root, "endpoint_url": endpoint_url}
    tags = {"videogen.protocol": json.dumps(PROTOCOL)}
    config = carried_config([model(tmp_path / "a", storage, tags)], [])
    expected = StorageConfig.model_validate(storage) if kept else StorageConfig()
    assert config.storage == expected


def test_a_protocol_without_its_snapshot_is_none_to_compare_on(tmp_path):
    tags = {"videogen.protocol": json.dumps(PROTOCOL | {"snapshot": None})}
    with pytest.raises(ConfigError, match="models:/m/1: nothing says on which data"):
        carried_config([model(tmp_path / "a", {}, tags)], [])
