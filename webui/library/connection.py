"""Asking other machines for files, without being led where the user did not mean to go.

Every name is resolved once, the addresses are looked at, and the connection goes to these very addresses, so that a
name cannot mean another machine a moment later. Each redirect is looked at in the same way. Only http and https exist.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from webui.errors import DownloadFailed, InvalidRequest

REDIRECTS = 8
TIMEOUT = 30.0  # seconds without a byte
PORTS = {"http": 80, "https": 443}
AGENT = "Emulsion (model downloads)"
NAT64 = ipaddress.ip_network("64:ff9b::/96")
PRIVATE = "Addresses of this machine and of private networks can be asked from this machine itself only."

Tokens = Callable[[str], str | None]  # host name -> what proves who the user is there
Asked = tuple[http.client.HTTPConnection, http.client.HTTPResponse]


@dataclass
class Answer:
    """What a server answered. `said` holds the headers of the redirects on the way too, the last ones first."""

    url: str
    status: int
    said: Mapping[str, str]
    response: http.client.HTTPResponse = field(repr=False)
    connection: http.client.HTTPConnection = field(repr=False)

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *error: object) -> None:
        self.response.close()
        self.connection.close()

    def header(self, name: str) -> str:
        """One of the last answer's headers, empty where it is missing."""
        return self.response.getheader(name) or ""

    def read(self, count: int) -> bytes:
        """What has arrived, at most `count` bytes; empty at the end. Raises OSError or HTTPException."""
        return self.response.read1(count)


def open_url(
    url: str,
    headers: Mapping[str, str] | None = None,
    private: bool = False,
    tokens: Tokens = lambda host: None,
    timeout: float = TIMEOUT,
) -> Answer:
    """Ask for a file and follow redirects. `private` allows addresses of private networks, if `url` itself names one.

    `timeout`: seconds without a byte. A token is sent to its own host alone. Raises InvalidRequest for an address that
    may not be asked, DownloadFailed for a server that leads astray, OSError or HTTPException where the line is bad.
    """
    said: dict[str, str] = {}
    for _ in range(REDIRECTS + 1):
        parts = split_url(url)
        addresses, inside = _resolve(parts, private)
        private = private and inside
        connection, response = _ask(parts, addresses, {**(headers or {}), **_proof(parts, tokens)}, timeout)
        said = {**said, **{name.lower(): value for name, value in response.getheaders()}}
        answer = Answer(url, response.status, said, response, connection)
        if response.status not in (301, 302, 303, 307, 308) or not answer.header("Location"):
            return answer
        with answer:
            target = _joined(url, answer.header("Location"))
        if parts.scheme == "https" and urlsplit(target).scheme != "https":
            raise DownloadFailed(f"{parts.hostname} leads from https to {shown(target)}.", "https was wanted.")
        url = target
    raise DownloadFailed(f"The address leads on and on: {REDIRECTS} redirects were followed.", "A file was wanted.")


def split_url(url: str) -> SplitResult:
    """The parts of an http or https address. Raises InvalidRequest for anything else."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in PORTS and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise InvalidRequest(f"{shown(url)} is no address of a file.", "It must begin with https:// or http://.")
    return parts


def _joined(url: str, target: str) -> str:
    try:
        return urljoin(url, target)
    except ValueError:
        raise DownloadFailed(f"{shown(url)} leads to {shown(target)}, which is no address.") from None


def shown(url: str) -> str:
    """An address for people: without passwords and questions, which may hold a token."""
    bare = url.split("?", 1)[0].split("#", 1)[0]
    scheme, mark, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"[:300]


def is_public(text: str) -> bool:
    """Whether an address in numbers is one of the open internet, whatever it is wrapped in."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not is_public(str(inner)):
            return False
    return address.is_global and not address.is_multicast


def _resolve(parts: SplitResult, private: bool) -> tuple[list[str], bool]:
    """The addresses of a name, and whether they lie in a private network."""
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or PORTS[parts.scheme], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        if _proxy(parts):
            return [], False  # a proxy may know names that this machine does not
        raise DownloadFailed(f"There is no machine called {host}: {error}.", "", "Check address and network.") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    inside = not all(is_public(address) for address in addresses)
    if inside and not private:
        raise InvalidRequest(f"{host} is an address of this machine or of a private network.", PRIVATE)
    return addresses, inside


def _proof(parts: SplitResult, tokens: Tokens) -> dict[str, str]:
    """The header with the user's token for a host. Never in the clear, but to this machine."""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    host = (parts.hostname or "").lower()
    token = tokens(host) if parts.scheme == "https" or host in ("127.0.0.1", "localhost", "::1") else None
    return {"Authorization": f"Bearer {token}"} if token else {}


def _ask(parts: SplitResult, addresses: list[str], headers: Mapping[str, str], timeout: float) -> Asked:
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    proxy = _proxy(parts)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = "".join(letter if letter < "\x7f" else _quoted(letter) for letter in target)
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
    connection: http.client.HTTPConnection
    if proxy is None:
        connection = _connection(parts.scheme, host, port, timeout)
        connection._create_connection = lambda *rest: _dial(addresses, port, timeout)  # type: ignore[attr-defined]
    else:
        entry = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if entry.scheme != "http" or not entry.hostname:
            raise DownloadFailed(
                f"The proxy {shown(proxy)} cannot be used.", "One that begins with http:// was wanted."
            )
        connection = _connection(parts.scheme, entry.hostname, entry.port or 8080, timeout)
        proof = _proof(entry, lambda host: None)
        own = {"Proxy-Authorization": proof["Authorization"]} if proof else {}
        if parts.scheme == "https":
            connection.set_tunnel(host, port, own)
        else:
            target, headers = f"http://{parts.netloc.rpartition('@')[2]}{target}", {**headers, **own}
    try:
        connection.request("GET", target, headers=dict(headers))
        return connection, connection.getresponse()
    except BaseException:
        connection.close()
        raise


def _quoted(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))


def _connection(scheme: str, host: str, port: int, timeout: float) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError, OSError):  # a Python of its own may know no authorities
        import certifi

        context.load_verify_locations(certifi.where())
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)


def _dial(addresses: list[str], port: int, timeout: float) -> socket.socket:
    """Connect to the first of these addresses that answers."""
    problem: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            problem = error
    raise problem or OSError("no address")


def _proxy(parts: SplitResult) -> str | None:
    """The proxy that the system names for an address."""
    found = getproxies().get(parts.scheme)
    return found if found and not proxy_bypass(parts.hostname or "") else None
