"""Wires: connections between processes, one for each two that talk, made when they first do.

Rank 0 answers at a place that all know; the others answer where they told it. Of two processes the one of the higher
rank dials. Whoever waits longer than the limit gets a StateError that says for whom.
"""

from __future__ import annotations

import socket
import time
from multiprocessing.connection import Connection

from ..core.errors import StateError

KEY = b"dualgraph"  # told apart from other programs at the same port; it keeps no secret
Place = tuple[str, int]


class Wires:
    """The wires of process `rank` to the others of `size`; `timeout` is in seconds, for each wait."""

    def __init__(self, rank: int, size: int, address: Place, timeout: float) -> None:
        self.rank, self.size, self.timeout = rank, size, timeout
        self._wires: dict[int, Connection] = {}
        self._places: list[Place] = []  # where each rank answers
        self._server: socket.socket | None = None
        try:
            if size > 1:
                self._meet(address)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends all talk."""
        for wire in self._wires.values():
            wire.close()
        if self._server is not None:
            self._server.close()
        self._wires, self._server = {}, None

    def send(self, peer: int, message: bytes) -> None:
        """Hands a message to a process that will take it by `recv`."""
        try:
            self._wire(peer).send_bytes(message)
        except OSError:
            raise StateError(f"distributed: process {peer} has gone") from None

    def recv(self, peer: int) -> bytes:
        """The next message of a process."""
        try:
            wire = self._wire(peer)
            if not wire.poll(self.timeout):
                problem = f"process {peer} sent nothing in {self.timeout:g} s"
                raise StateError(f"distributed: {problem}; do all make the same calls?")
            return wire.recv_bytes()
        except (OSError, EOFError):
            raise StateError(f"distributed: process {peer} has gone") from None

    # --- how they meet ---

    def _meet(self, address: Place) -> None:
        end = time.monotonic() + self.timeout
        if self.rank == 0:
            self._server = socket.create_server(address, backlog=self.size)
            places = {0: address}
            while len(places) < self.size:
                peer, place = self._answered(end)
                places[peer] = place
            self._places = [places[i] for i in range(self.size)]
            table = "\n".join(f"{host} {port}" for host, port in self._places).encode()
            for wire in self._wires.values():
                wire.send_bytes(table)
            return
        line = _dialled(address, 0, end, self.timeout)
        self._server = socket.create_server((line.getsockname()[0], 0), backlog=self.size)
        self._wires[0] = self._introduced(line)
        rows = [row.split() for row in self.recv(0).decode().split("\n")]
        self._places = [(host, int(port)) for host, port in rows]

    def _introduced(self, line: socket.socket) -> Connection:
        assert self._server is not None  # it answers before it dials
        wire = Connection(line.detach())
        wire.send_bytes(b"%s %d %d" % (KEY, self.rank, self._server.getsockname()[1]))
        return wire

    def _answered(self, end: float) -> tuple[int, Place]:
        """The next process that dials, and where it answers; strangers are hung up on."""
        assert self._server is not None
        while True:
            self._server.settimeout(max(end - time.monotonic(), 0.001))
            try:
                line, (host, *_) = self._server.accept()
            except TimeoutError:
                there = sorted({self.rank, *self._wires})
                problem = f"of {self.size} processes only {there} came in {self.timeout:g} s"
                raise StateError(f"distributed: {problem}") from None
            line.settimeout(None)
            wire = Connection(line.detach())
            try:
                said = wire.recv_bytes(64).split() if wire.poll(5.0) else []
            except (OSError, EOFError):
                said = []
            if len(said) != 3 or said[0] != KEY:
                wire.close()
                continue
            peer = int(said[1])
            if peer in self._wires or not 0 < peer < self.size:
                raise StateError(f"distributed: a second process, or one too many, has rank {peer}")
            self._wires[peer] = wire
            return peer, (host, int(said[2]))

    def _wire(self, peer: int) -> Connection:
        end = time.monotonic() + self.timeout
        if peer not in self._wires and peer < self.rank:
            line = _dialled(self._places[peer], peer, end, self.timeout)
            self._wires[peer] = self._introduced(line)
        while peer not in self._wires:
            self._answered(end)
        return self._wires[peer]


def _dialled(place: Place, peer: int, end: float, timeout: float) -> socket.socket:
    """The line to a process that may not be there yet."""
    while True:
        try:
            line = socket.create_connection(place, max(end - time.monotonic(), 0.001))
            line.settimeout(None)
            return line
        except (ConnectionError, TimeoutError):
            if time.monotonic() > end:
                problem = (
                    f"process {peer} does not answer at {place[0]}:{place[1]} in {timeout:g} s"
                )
                raise StateError(f"distributed: {problem}") from None
            time.sleep(0.02)
