"""An S3 access key, without the client that uses it."""

from typing import NamedTuple


class Credentials(NamedTuple):
    """An S3 access key."""

    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        """The key's name without its secret."""
        return f"Credentials({self.access_key_id!r})"
