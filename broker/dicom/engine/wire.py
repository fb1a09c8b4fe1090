"""A connection as the channel uses it: blocking reads and writes under deadlines, plain or TLS."""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress
from math import ceil
from struct import pack

READ_BYTES = 65_536

LONG_SECONDS = 10.0
"""Longer waits are in whole seconds, so that one idle limit is told to the system once."""

RETRY_SECONDS = 5.0
"""A write that the peer does not take is looked after so often, until its deadline."""

MOST_BUFFERS = 1_000
"""Buffers of one sendmsg; systems take 1,024 (IOV_MAX)."""

QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux only. It is not sticky: set again after each read."""


class Wire:
    """A plain connection, with the system's own deadlines (SO_RCVTIMEO): Python's would poll before each read."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._send_seconds = self._receive_seconds = 0.0

    def receive(self, seconds: float) -> bytes:
        """What comes within the time; b"" at the end of the stream. raises TimeoutError, OSError"""
        if seconds <= 0:
            raise TimeoutError
        wanted = ceil(seconds) if seconds > LONG_SECONDS else seconds
        if wanted != self._receive_seconds:
            self._receive_seconds = wanted
            self._set_timeout(socket.SO_RCVTIMEO, wanted)
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            raise TimeoutError from None
        self._acknowledge_quickly()
        return data

    def look(self) -> bytes | None:
        """What has come; None when nothing has, b"" at the end of the stream. raises OSError"""
        try:
            data = self.socket.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        self._acknowledge_quickly()
        return data

    def send(self, buffers: list[bytes], seconds: float) -> None:
        """Send everything within the time. raises TimeoutError, OSError

        The system's timeout counts for each call anew, so the whole has a deadline of its own.
        """
        deadline = 0.0
        self._limit_send(min(seconds, RETRY_SECONDS))
        while buffers:
            try:
                sent = self.socket.sendmsg(buffers[:MOST_BUFFERS])
            except BlockingIOError:
                sent = 0
            buffers = _unsent(buffers, sent)
            if not buffers:
                return
            deadline = deadline or time.monotonic() + seconds
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._limit_send(min(left, RETRY_SECONDS))

    def stop_reading(self) -> None:
        """Wake a thread that reads: it sees the end of the stream."""
        self._shut(socket.SHUT_RD)

    def stop_writing(self) -> None:
        self._shut(socket.SHUT_WR)

    def shut(self) -> None:
        """Wake a thread that reads or writes."""
        self._shut(socket.SHUT_RDWR)

    def close(self) -> None:
        self.shut()
        with suppress(OSError):
            self.socket.close()

    def _shut(self, how: int) -> None:
        # The method of SSLSocket would take the TLS layer away under the thread that uses it.
        with suppress(OSError):
            socket.socket.shutdown(self.socket, how)

    def _limit_send(self, seconds: float) -> None:
        if seconds != self._send_seconds:
            self._send_seconds = seconds
            self._set_timeout(socket.SO_SNDTIMEO, seconds)

    def _set_timeout(self, option: int, seconds: float) -> None:
        microseconds = max(1_000, int(seconds * 1_000_000))  # 0 would be: for ever
        self.socket.setsockopt(socket.SOL_SOCKET, option, pack("@ll", *divmod(microseconds, 1_000_000)))

    def _acknowledge_quickly(self) -> None:
        if QUICK_ACK is not None:
            self.socket.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)


class TlsWire(Wire):
    """The same under TLS, over a socket that never blocks; waiting is one poll. What TLS has read comes first."""

    def __init__(self, plain: Wire, context: ssl.SSLContext) -> None:
        self.socket: ssl.SSLSocket = context.wrap_socket(plain.socket, server_side=True, do_handshake_on_connect=False)
        self._is_stopped = False

    def shake_hands(self, seconds: float) -> None:
        """raises TimeoutError, OSError"""
        self.socket.settimeout(seconds)
        self.socket.do_handshake()
        self.socket.setblocking(False)

    def receive(self, seconds: float) -> bytes:
        until = time.monotonic() + seconds
        data = self.look() if self.socket.pending() else None
        while data is None and not self._is_stopped:
            self._wait(select.POLLIN, until - time.monotonic())
            data = None if self._is_stopped else self.look()
        self._acknowledge_quickly()
        return data or b""

    def look(self) -> bytes | None:
        try:
            return self.socket.recv(READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    def send(self, buffers: list[bytes], seconds: float) -> None:
        until = time.monotonic() + seconds
        rest = memoryview(b"".join(buffers))
        while rest:
            try:
                rest = rest[self.socket.send(rest) :]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._wait(select.POLLOUT, until - time.monotonic())

    def stop_reading(self) -> None:
        # TLS must not see this end of the stream: after it nothing could be written, no last word.
        self._is_stopped = True
        super().stop_reading()

    def _wait(self, event: int, seconds: float) -> None:
        if seconds <= 0:
            raise TimeoutError
        poller = select.poll()
        poller.register(self.socket, event)
        if not poller.poll(seconds * 1000):
            raise TimeoutError


def _unsent(buffers: list[bytes], sent: int) -> list[bytes]:
    """What is left of the buffers after so many bytes."""
    for number, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [buffer[sent:], *buffers[number + 1 :]]
        sent -= len(buffer)
    return []
