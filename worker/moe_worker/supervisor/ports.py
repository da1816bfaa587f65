"""A seat's port is chosen once per pod and held by the supervisor, so that a re-forked rank is found where it was."""

import socket


class Ports:
    """Bound sockets that never listen; ranks bind the same ports with SO_REUSEPORT and do."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._sockets: dict[int, socket.socket] = {}

    def address(self, rank: int) -> str:
        """The rank's "ip:port", reserved at the first call."""
        if rank not in self._sockets:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((self._host, 0))
            self._sockets[rank] = sock
        host, port = self._sockets[rank].getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
