"""Ports are free, distinct, in range, and stay the same where they can."""

import socket

import pytest

from videogen.stack import ports


@pytest.fixture
def taken() -> int:
    """A port of the range that another program listens on for the length of the test."""
    for port in range(ports.LAST, ports.FIRST, -1):
        listener = socket.socket()
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        listener.listen()
        yield port
        listener.close()
        return


def free_port() -> int:
    return next(port for port in range(ports.FIRST, ports.LAST) if ports.is_free(port))


def test_the_usual_port_is_taken_where_it_is_free() -> None:
    usual = free_port()

    assert ports.choose({"http": usual}, remembered={}) == {"http": usual}


def test_the_remembered_port_comes_before_the_usual_one() -> None:
    usual = free_port()
    remembered = next(p for p in range(usual + 1, ports.LAST) if ports.is_free(p))

    assert ports.choose({"http": usual}, remembered={"http": remembered}) == {"http": remembered}


def test_a_taken_port_is_replaced_by_a_free_one_of_the_range(taken: int) -> None:
    chosen = ports.choose({"http": taken}, remembered={"http": taken})["http"]

    assert chosen != taken
    assert ports.FIRST <= chosen <= ports.LAST
    assert ports.is_free(chosen)


def test_roles_never_share_a_port() -> None:
    usual = free_port()

    chosen = ports.choose({"a": usual, "b": usual, "c": usual}, remembered={"a": usual, "c": usual})

    assert len(set(chosen.values())) == 3


def test_a_port_whose_grpc_counterpart_is_taken_is_not_free() -> None:
    usual = free_port()
    with socket.create_server(("127.0.0.1", usual + ports.GRPC_OFFSET)):
        assert not ports.is_free(usual)
    assert ports.is_free(usual)


def test_a_port_to_be_avoided_is_not_chosen_again() -> None:
    usual = free_port()

    chosen = ports.choose({"http": usual}, remembered={"http": usual}, avoided={usual})

    assert chosen["http"] != usual
    assert ports.taken(chosen["http"]) == ()


def test_a_port_that_is_taken_at_another_address_is_not_free() -> None:
    usual = free_port()
    with socket.create_server(("127.0.0.2", usual)):
        assert not ports.is_free(usual)
    assert ports.is_free(usual)
