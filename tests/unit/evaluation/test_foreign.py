import pytest

from videogen.config.models import DcganConfig
from videogen.config.sections import StorageConfig
from videogen.errors import CorruptObjectError
from videogen.evaluation.clips.samples import open_generator
from videogen.evaluation.foreign import ForeignGenerator, lent
from videogen.models.build import build_networks
from videogen.models.export import GeneratorSpec, save_weights
from videogen.storage.local import LocalStore

MODEL = DcganConfig(base_channels=8, latent_dim=8)


@pytest.fixture
def directory(tmp_path):
    generator = build_networks(MODEL, (32, 32), 9, seed=0).generator
    spec = GeneratorSpec(model=MODEL, height=32, width=32, num_frames=9, fps=8)
    save_weights(generator.state_dict(), tmp_path / "model", spec)
    (tmp_path / "model" / "notes.txt").write_text("no part of it")
    return tmp_path / "model"


def keys(store):
    return sorted(info.key for info in store.list("runs/"))


def test_a_lent_generator_can_be_opened_by_its_reference_until_the_block_ends(directory, tmp_path):
    store = LocalStore(tmp_path / "store")
    foreign = ForeignGenerator.open("models:/toy/3", directory, 64)

    def judge():
        with lent(foreign, store, "r1", 2) as reference:
            assert (reference.run_id, reference.clips_seen) == ("r1", 64)
            assert (reference.height, reference.num_frames, reference.fps) == (32, 9, 8)
            assert reference.model == "models:/toy/3"
            assert open_generator(StorageConfig(root=store.root), reference)
            assert len(keys(store)) == 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge()
    assert keys(store) == []


def test_the_same_files_have_the_same_identity_wherever_they_lie(directory, tmp_path):
    store = LocalStore(tmp_path / "store")
    foreign = ForeignGenerator.open("here", directory, 0)
    moved = ForeignGenerator.open("there", directory.rename(tmp_path / "moved"), 0)
    other = build_networks(MODEL, (32, 32), 9, seed=1).generator
    save_weights(other.state_dict(), tmp_path / "other", foreign.spec)
    with lent(moved, store, "r1") as first, lent(moved, store, "r2") as second:
        assert first.manifest_sha256 == second.manifest_sha256
    assert moved.sha256 == ForeignGenerator.open("again", tmp_path / "moved", 5).sha256
    assert moved.sha256 != ForeignGenerator.open("other", tmp_path / "other", 0).sha256


def test_a_damaged_generator_is_refused_before_anything_is_published(directory):
    weights = directory / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CorruptObjectError, match=r"generator\.safetensors"):
        ForeignGenerator.open("damaged", directory, 0)
