"""S3 keys in files of mode 0600, so that processes and Ray's metadata carry paths, never keys."""

import configparser
import hashlib
import io
import secrets
from pathlib import Path

from videogen.config.settings import Settings, environment_value
from videogen.errors import ServiceError
from videogen.stack import state
from videogen.storage.credentials import Credentials

PROFILE = "videogen"
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_PLACES = (
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SHARED_CREDENTIALS_FILE",
)
WITHOUT_OTHER_KEYS: dict[str, str | None] = dict.fromkeys(
    (*_KEYS, "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")
)
"""Changes to an environment that leave a credentials file as the only source of keys."""


def credentials_file(settings: Settings) -> Path:
    """Where the keys of the embedded S3 are, in AWS's shared-credentials format."""
    return settings.state_dir / "s3" / "credentials"


def ensure_credentials(settings: Settings) -> Credentials:
    """The keys of the embedded S3, drawn at random the first time."""
    if not credentials_file(settings).exists():
        drawn = Credentials("videogen", secrets.token_urlsafe(30))
        state.write_privately(credentials_file(settings), _document(drawn, token=None))
    return read_credentials(settings)


def read_credentials(settings: Settings) -> Credentials:
    """The keys of the embedded S3. Raises `ServiceError` where the file cannot be read."""
    path = credentials_file(settings)
    parser = configparser.RawConfigParser()
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
        section = parser[PROFILE]
        return Credentials(section["aws_access_key_id"], section["aws_secret_access_key"])
    except (OSError, KeyError, configparser.Error) as error:
        raise ServiceError(
            f"cannot read the S3 keys in {path} ({type(error).__name__}): run `videogen stack up`; "
            "if that fails too, remove the file"
        ) from error


def session_credentials(settings: Settings) -> dict[str, str | None]:
    """How a process of ours reaches the user's own S3: changes to its environment, without keys.

    Keys in our environment are written to a file of mode 0600 below the state directory, which the
    answer names by its path. Places (endpoint, region, profile, files) are handed on as they are.
    """
    handed_on = {name: value for name in _PLACES if (value := environment_value(name))}
    key_id, secret, token = (environment_value(name) for name in _KEYS)
    if key_id is None or secret is None:
        return {**handed_on}
    document = _document(Credentials(key_id, secret), token)
    name = hashlib.sha256(document.encode()).hexdigest()[:16]
    path = settings.state_dir / "keys" / name
    if not path.exists():
        state.write_privately(path, document)
    return {
        **handed_on,
        **WITHOUT_OTHER_KEYS,
        "AWS_SHARED_CREDENTIALS_FILE": str(path),
        "AWS_PROFILE": PROFILE,
    }


def _document(keys: Credentials, token: str | None) -> str:
    parser = configparser.RawConfigParser()
    parser[PROFILE] = {
        "aws_access_key_id": keys.access_key_id,
        "aws_secret_access_key": keys.secret_access_key,
        **({"aws_session_token": token} if token else {}),
    }
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()
