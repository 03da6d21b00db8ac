import numpy as np
import pytest

from videogen.artifacts import GeneratorRef
from videogen.config.evaluate import EvaluateConfig
from videogen.config.models import DcganConfig
from videogen.config.sections import StorageConfig
from videogen.data.shards.frame_codec import encode_clip, read_frames
from videogen.errors import CorruptObjectError, EvaluationError
from videogen.evaluation.clips.samples import draw_fakes, open_generator
from videogen.models.build import build_networks
from videogen.models.export import GeneratorSpec, save_weights
from videogen.models.sampling import generate
from videogen.runs import manifest
from videogen.storage.local import LocalStore

MODEL = DcganConfig(base_channels=8, latent_dim=8)
CONFIG = EvaluateConfig(num_clips=4, num_frames=9, seed=5, batch_size=2)


@pytest.fixture
def storage(tmp_path):
    return StorageConfig(root=str(tmp_path / "store"))


@pytest.fixture
def published(tmp_path, storage):
    """Publishes a directory of files as a checkpoint."""

    def publish(directory):
        prefix = "runs/r1/checkpoints/1"
        store = LocalStore(tmp_path / "store")
        return GeneratorRef(
            run_id="r1", prefix=prefix, manifest_sha256=manifest.publish(store, prefix, directory),
            clips_seen=1, num_frames=9, height=32, width=32, fps=8,
        )  # fmt: skip

    return publish


@pytest.fixture
def checkpoint(tmp_path, published):
    generator = build_networks(MODEL, (32, 32), 9, seed=0).generator
    spec = GeneratorSpec(model=MODEL, height=32, width=32, num_frames=9, fps=8)
    save_weights(generator.state_dict(), tmp_path / "files" / "generator", spec)
    return published(tmp_path / "files")


def draw(storage, generator, config, indices, codec):
    return draw_fakes(open_generator(storage, generator), config, indices, codec)


def test_video_i_depends_on_seed_plus_i_alone(storage, checkpoint):
    together = draw(storage, checkpoint, CONFIG, range(4), "raw")
    assert together.shape == (4, 9, 32, 32, 3)
    alone = draw(storage, checkpoint, CONFIG, [2], "raw")
    np.testing.assert_array_equal(together[2:3], alone)
    shifted = CONFIG.model_copy(update={"seed": 7})
    np.testing.assert_array_equal(draw(storage, checkpoint, shifted, [0], "raw"), alone)
    assert (together[0] != together[1]).any()


def test_videos_are_drawn_at_the_stride_of_the_reals(storage, checkpoint):
    strided = CONFIG.model_copy(update={"frame_stride": 3})
    (video,) = draw(storage, checkpoint, strided, [2], "raw")
    generator = open_generator(storage, checkpoint)
    np.testing.assert_array_equal(video, generate(generator, [7], 9, fps_ratio=3.0)[0])
    assert (video != draw(storage, checkpoint, CONFIG, [2], "raw")[0]).any()


def test_fakes_pass_through_the_codec_of_the_reals(storage, checkpoint):
    raw = draw(storage, checkpoint, CONFIG, range(2), "raw")
    coded = draw(storage, checkpoint, CONFIG, range(2), "jpeg")
    expected = np.stack([read_frames(encode_clip(clip, "jpeg")) for clip in raw])
    np.testing.assert_array_equal(coded, expected)
    assert (coded != raw).any()


def test_a_checkpoint_without_a_generator_is_refused(tmp_path, storage, published):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "state.json").write_text("{}")
    with pytest.raises(EvaluationError, match="holds no generator/"):
        draw(storage, published(tmp_path / "other"), CONFIG, [0], "raw")


def test_a_generator_whose_bytes_changed_is_refused(tmp_path, storage, checkpoint):
    path = tmp_path / "store" / checkpoint.prefix / "generator" / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00\x00")
    with pytest.raises(CorruptObjectError, match=r"generator\.safetensors"):
        draw(storage, checkpoint, CONFIG, [0], "raw")
