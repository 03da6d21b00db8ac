"""Which keys an object store accepts, the same for every adapter."""

from videogen.errors import StorageError

MAX_KEY_BYTES = 1024
"""What S3 allows for a whole key."""


def check_key(root: str, key: str) -> str:
    """The key, if it names one object below the root whatever the adapter; else `StorageError`."""
    _check_spelling(root, key)
    for segment in key.split("/"):
        if segment in ("", ".", ".."):
            raise StorageError(
                f"key {key!r} of {root} has the segment {segment!r}: "
                "use non-empty names other than . and .., separated by single slashes"
            )
    return key


def check_prefix(root: str, prefix: str) -> str:
    """The prefix of a listing: empty, or a key that may end with a slash or inside a name."""
    if prefix:
        _check_spelling(root, prefix)
        *directories, _ = prefix.split("/")
        if directories:
            check_key(root, "/".join(directories))
    return prefix


def _check_spelling(root: str, key: str) -> None:
    try:
        size_bytes = len(key.encode())
    except UnicodeEncodeError as error:
        raise StorageError(f"key {key!r} of {root} is not valid Unicode: rename it") from error
    if size_bytes > MAX_KEY_BYTES:
        raise StorageError(
            f"key {key[:40]!r}… of {root} has {size_bytes} bytes, above {MAX_KEY_BYTES}: shorten it"
        )
    if any(ord(character) < ord(" ") or character == "\x7f" for character in key):
        raise StorageError(f"key {key!r} of {root} has a control character: rename it")
