import os
import socket

import pytest

from benchmarks.chaos.processes import below, listener


def test_who_listens_at_a_pods_address_is_found_at_the_loopback_address_that_stands_for_it() -> None:
    with socket.create_server(("127.244.251.7", 0)) as server:
        assert listener("10.244.251.7", server.getsockname()[1]) == os.getpid()


def test_nobody_at_the_address_is_an_error_so_that_nothing_is_left_unwatched() -> None:
    with socket.create_server(("127.244.251.7", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LookupError, match=f"port {port} of the pod at 10.244.251.8"):
            listener("10.244.251.8", port)


def test_a_process_is_below_its_parent_and_not_below_itself() -> None:
    assert os.getpid() in below(os.getppid())
    assert os.getpid() not in below(os.getpid())
