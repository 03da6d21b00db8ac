"""What of an address may be shown or kept where others read it."""

import re

_USER_INFO = re.compile(r"://[^/@\s]*@")


def without_secrets(text: str) -> str:
    """The text, with user name and password taken out of every URI in it."""
    return _USER_INFO.sub("://", text)
