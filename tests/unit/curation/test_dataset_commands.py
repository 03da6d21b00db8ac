"""`videogen dataset …`: what a person and a program read, and exit codes."""

import json
from pathlib import Path

import pytest

from videogen.cli.app import run_command
from videogen.data.shards.tar_shard import ShardWriter, shard_key
from videogen.data.snapshots.clip_table import ClipRow, table_of
from videogen.data.snapshots.snapshot import add_clips
from videogen.storage.local import LocalStore

SOURCE = "5" * 64


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a dataset of two clips in two shards, of two sources."""
    monkeypatch.setenv("VIDEOGEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = LocalStore(tmp_path / "store")
    for number in (5, 6):
        row = _row(store, tmp_path, str(number) * 64)
        add_clips(store, "mine", "1" * 64, table_of([row]))
    return store.root


def _row(store: LocalStore, scratch: Path, source: str) -> ClipRow:
    clip_id = source[::-1].replace("5", "7")
    with ShardWriter(scratch, 1 << 20) as writer:
        writer.add(clip_id, {"source_sha256": source}, source.encode())
        written = writer.finish()
    assert written is not None
    store.upload(shard_key("mine", written.sha256), written.path)
    (placed,) = written.clips
    return ClipRow(
        clip_id=clip_id, source=f"file:///{source[0]}.mp4", source_sha256=source, start_s=0.0,
        end_s=1.0, shard=written.sha256, offset=placed.offset, length=placed.length,
        sha256=placed.sha256, frames=8, fps=8.0, height=4, width=4, codec="raw", colour="bt709",
        split="train", label="cats",
    )  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command(["dataset", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_datasets_are_listed_and_shown(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "--root", root)
    assert code == 0
    assert out.split()[:5] == ["mine", "2", "sources", "2", "clips"]
    code, out, err = run(capsys, "show", "mine", "--root", root, "--json")
    shown = json.loads(out)
    assert (code, err) == (0, "")
    assert (shown["clips"], shown["shards"], shown["num_snapshots"]) == (2, 2, 2)
    assert (shown["seconds"], shown["clip_bytes"], shown["labels"]) == (2.0, 128, {"cats": 2})
    older = next(one["snapshot"] for one in shown["snapshots"] if not one["is_current"])
    _, out, _ = run(capsys, "show", "mine", "--snapshot", older[:8], "--root", root)
    assert "1 clip" in out
    assert older in out


def test_a_damaged_dataset_does_not_hide_the_others(
    root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    LocalStore(Path(root)).put("datasets/broken/HEAD", b"{")
    code, out, _ = run(capsys, "list", "--root", root, "--json")
    first, second = json.loads(out)["datasets"]
    assert code == 0
    assert "datasets/broken/HEAD is damaged" in first["problem"]
    assert (second["dataset"], second["problem"]) == ("mine", None)


def test_verify_fails_where_a_byte_changed_and_names_the_object(
    root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "verify", "mine", "--root", root)[0] == 0
    store = LocalStore(Path(root))
    key = min(info.key for info in store.list("datasets/mine/shards/"))
    data = bytearray(store.get(key).data)
    data[600] ^= 1
    store.put(key, bytes(data))
    code, out, err = run(capsys, "verify", "mine", "--root", root, "--json")
    assert code == 1
    assert [one["object"] for one in json.loads(out)["damaged"]] == [key]
    assert f"the first is {key}" in err.splitlines()[-1]
    assert "--force" in err


def test_a_root_that_is_a_file_is_not_taken_for_an_empty_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "take.mp4"
    path.write_bytes(b"")
    code, out, err = run(capsys, "list", "--root", str(path), "--json")
    assert (code, out) == (1, "")
    assert f"cannot use {path}/datasets" in err


def test_verify_does_not_advise_to_make_clips_again_for_a_damaged_table(
    root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(Path(root))
    store.put(min(info.key for info in store.list("datasets/mine/parts/")), b"PAR1")
    code, _, err = run(capsys, "verify", "mine", "--root", root)
    assert code == 1
    assert "delete datasets/mine/HEAD" in err.splitlines()[-1]
    assert "--force" not in err


def test_compact_and_gc_tell_what_they_did(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "compact", "mine", "--root", root, "--json")
    done = json.loads(out)
    assert (code, done["shards_before"], done["shards"]) == (0, 2, 1)
    _, out, err = run(
        capsys, "gc", "mine", "--root", root, "--older-than", "0", "--keep-snapshots", "1"
    )
    assert "--delete deletes them" in err
    assert len(out.splitlines()) == 2 + 2 + 2, "snapshots, parts and shards"
    assert all((Path(root) / key).exists() for key in out.splitlines())
    arguments = ("--older-than", "0", "--keep-snapshots", "1", "--delete", "--json")
    _, again, _ = run(capsys, "gc", "mine", "--root", root, *arguments)
    assert json.loads(again)["objects"] == out.splitlines()
    assert not any((Path(root) / key).exists() for key in out.splitlines())
    assert run(capsys, "verify", "mine", "--all", "--root", root)[0] == 0


def test_forget_takes_a_source_out_and_drops_cached_shards(
    root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for info in LocalStore(Path(root)).list("datasets/mine/shards/"):
        copy = tmp_path / "cache" / "videogen" / "shards" / Path(info.key).name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(b"copy")
    arguments = ("--video", SOURCE, "--purge", "--root", root, "--json")
    code, out, err = run(capsys, "forget", "mine", *arguments)
    told = json.loads(out)
    assert code == 0
    assert (told["sources"], told["uris"]) == ([SOURCE], ["file:///5.mp4"])
    assert "1 source with 1 clip left dataset mine" in err
    left = [path.stem for path in (tmp_path / "cache" / "videogen" / "shards").glob("*.tar")]
    assert len(left) == 1
    assert left[0] not in told["shards"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("show", "mien"), 1, "did you mean 'mine'?"),
        (("verify", "mine", "--snapshot", "zz"), 1, "no snapshot whose digest begins with 'zz'"),
        (("forget", "mine"), 2, "give --source PATH-OR-URI or --video SHA256"),
        (("forget", "mine", "--source", "/4.mp4"), 1, "knows no source '/4.mp4'"),
        (("gc", "mine", "--keep-snapshots", "0"), 2, "--keep-snapshots"),
        (("compact",), 2, "NAME"),
    ],
)
def test_errors_name_the_object_and_the_mend(
    root: str,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    found, out, err = run(capsys, *arguments, "--root", root)
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.splitlines()[-1]) < 400


@pytest.mark.parametrize("command", ["list", "show", "verify", "compact", "gc", "forget"])
def test_every_command_has_help_with_an_example_and_knows_its_root(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"videogen dataset {command}" in out
    assert "Example" in out
    assert "--root" in out
    assert "--json" in out
