"""Whether a Ray answers at an address, told at once: Ray itself tries for minutes."""

import socket

from videogen.errors import ServiceError

_ANSWER_TIMEOUT_S = 5.0
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HTTP2_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""An empty frame of type 4: what each side of a gRPC connection sends first (RFC 9113, 3.4)."""
_FRAME_TYPE = slice(3, 4)


def require_answer(address: str) -> None:
    """Raise `ServiceError` unless something that speaks gRPC listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ServiceError(
            f"Ray address {address!r} is not HOST:PORT; mend execution.ray_address or RAY_ADDRESS"
        )
    try:
        with socket.create_connection((host, int(port)), timeout=_ANSWER_TIMEOUT_S) as connection:
            connection.sendall(_HTTP2_PREFACE + _HTTP2_SETTINGS)
            answer = connection.recv(len(_HTTP2_SETTINGS), socket.MSG_WAITALL)
        reason = "what listens there is something else"
    except OSError as error:
        answer, reason = b"", str(error)
    if answer[_FRAME_TYPE] != _HTTP2_SETTINGS[_FRAME_TYPE]:
        raise ServiceError(
            f"no Ray answers at {address} ({reason}); start one with `videogen stack up`, or unset "
            "execution.ray_address and RAY_ADDRESS for a Ray of this process"
        )
