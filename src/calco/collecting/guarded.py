"""Connections to the public internet alone: neither a list nor a redirection reaches this machine's network.

A name is looked up once, its addresses are checked, and the connection goes to a checked address, so that a name whose
meaning changes in between leads nowhere else.
"""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

import anyio
import httpcore
import httpx

from calco.addresses import is_public

PORTS = {"http": 80, "https": 443}


class InsideError(Exception):
    """An address of this machine or of its network that is not allowed."""


class Gate:
    """Addresses that may be contacted.

    Args:
        named: The addresses that the user or the list names.
        private: Allow those of them that are of this machine's network. Without it, of all that is not public only this
            machine itself is allowed, where it is named by its address and port.
    """

    def __init__(self, named: Iterable[str], *, private: bool) -> None:
        self._private = private
        self._named = {place for address in named if (place := _place(address)) is not None}

    def check(self, host: str, port: int, address: str) -> None:
        """Check an IP address that stands for a host."""
        if is_public(address):
            return
        named = (host.lower(), port) in self._named
        # This machine itself: written as an address or as localhost, not by any other name.
        own = (host == address or host.lower() == "localhost") and ipaddress.ip_address(address).is_loopback
        if named and (self._private or own):
            return
        what = host if host == address else f"{host} is {address}, which"
        remedy = "give --allow-private to ask what it names" if named else "a list must name such an address itself"
        raise InsideError(f"{what} is not on the public internet but of this machine or its network; {remedy}")

    async def look(self, request: httpx.Request) -> None:
        """Check a request whose host is an IP address or this machine; other names are checked when looked up."""
        host = request.url.host
        if request.url.scheme not in PORTS or (request.url.port or 0) > 65535:
            return  # which httpx or the system does not ask
        address = "127.0.0.1" if host.lower().rstrip(".") in ("localhost", "ip6-localhost") else host
        try:
            # As the system reads addresses: 2130706433, 0x7f.1 and 127.1 are 127.0.0.1 too.
            literal = address if ":" in address else socket.inet_ntoa(socket.inet_aton(address))
            ipaddress.ip_address(literal.partition("%")[0])
        except (OSError, ValueError):
            return
        self.check(host, request.url.port or PORTS[request.url.scheme], literal)


def _place(address: str) -> tuple[str, int] | None:
    try:
        url = httpx.URL(address)
        return url.host.lower(), url.port or PORTS.get(url.scheme, 0)
    except (httpx.InvalidURL, ValueError, TypeError):
        return None


class Backend(httpcore.AsyncNetworkBackend):
    """Looks a name up, checks what it means, and connects to that."""

    def __init__(self, gate: Gate) -> None:
        self._gate, self._inner = gate, httpcore.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:  # fmt: skip
        """Connect to a host."""
        if not 0 < port < 65536:
            raise ValueError(f"port must be 0-65535, and is {port}")
        try:
            with anyio.fail_after(timeout):
                found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"the name {host} was not found in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in dict.fromkeys(str(place[0]) for *_, place in found):
            self._gate.check(host, port, address)
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)


class Transport(httpx.AsyncHTTPTransport):
    """httpx's own transport, over `Backend`."""

    def __init__(self, gate: Gate, connections: int) -> None:
        super().__init__()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(), max_connections=connections, network_backend=Backend(gate)
        )
