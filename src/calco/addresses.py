"""Addresses without their passwords and tokens, for messages, files and pages."""

import ipaddress
import re
from typing import Any, Final
from urllib.parse import unquote

HIDDEN: Final = "***"
_ADDRESS: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}://\S+")
_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_WHOLE: Final = re.compile(r"(?:hub:)?[a-zA-Z][a-zA-Z0-9+.-]{0,30}://\S+\Z")
_EXAMPLE: Final = ":PASSWORD@"
_HUB_TOKEN: Final = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_WEB: Final = ("http", "https")
# Of a query, what holds no secret; everything else is hidden, as each service has its own name for a key.
_HARMLESS: Final = (
    "user", "username", "host", "hostaddr", "port", "dbname", "database", "db", "schema", "sslmode", "ssl", "charset",
    "connect_timeout", "timeout", "application_name", "driver", "read_only", "id", "year", "anio", "desde",
)  # fmt: skip
_SETTING: Final = re.compile(r"(?i)\b(\w*(?:pass|pwd|secret|token|key|sig|cred)\w*\s*=\s*)\S")


def redact_address(address: str) -> str:
    """Return an address without passwords and tokens.

    A password may hold any character, also those that an address must write otherwise (`/ ? # [ @`): everything from
    the first colon to the last `@` is taken for one, so that a port may be hidden too, but no password is shown.
    Values of a query are hidden unless their names are known to be harmless, and so is a fragment.

    >>> redact_address("mysql://root:se/cr@t@127.0.0.1:3306/crime")
    'mysql://root:***@127.0.0.1:3306/crime'
    >>> redact_address("postgres://db.local:5432/crime?user=ana&password=se&cret#x")
    'postgres://db.local:5432/crime?user=ana&password=***'
    >>> redact_address("https://TOKEN@example.org/a.tar"), redact_address("data/crime.duckdb")
    ('https://***@example.org/a.tar', 'data/crime.duckdb')
    """
    return _cut(address)[0]


def redact_text(text: str, address: str) -> str:
    """Return a text, such as a driver's error, without the passwords and tokens of the address that it is about.

    >>> redact_text("cannot log in as ana with se/cret", "mysql://ana:se%2Fcret@127.0.0.1/crime")
    'cannot log in as ana with ***'
    """
    shown, secrets = _cut(address)
    text = text.replace(address, shown)
    forms = {form for secret in secrets for form in (secret, unquote(secret), repr(unquote(secret))[1:-1]) if form}
    for form in sorted(forms, key=len, reverse=True):
        # A short one is hidden where it stands alone: the letter "a" occurs in every sentence.
        edges = (r"(?<!\w)", r"(?!\w)") if len(form) < 4 else ("", "")
        text = re.sub(f"{edges[0]}{re.escape(form)}{edges[1]}", HIDDEN, text)
    return text


def redact_addresses(text: str) -> str:
    """Return a text without the passwords and tokens of the addresses in it, and without tokens of the hub.

    A password PASSWORD is that of an example, and stays.

    >>> redact_addresses("cannot read rtsp://ana:se@cret@10.0.0.9/stream?token=x: no answer")
    'cannot read rtsp://ana:***@10.0.0.9/stream?token=*** no answer'
    >>> redact_addresses("the form is mysql://USER:PASSWORD@HOST/DATABASE, see https://example.org/a")
    'the form is mysql://USER:PASSWORD@HOST/DATABASE, see https://example.org/a'
    """
    if "://" in text:
        text = _ADDRESS.sub(lambda found: found[0] if _EXAMPLE in found[0] else redact_address(found[0]), text)
    return _HUB_TOKEN.sub(f"hf_{HIDDEN}", text) if "hf_" in text else text


def redact_record(record: Any) -> Any:
    """Return plain data whose texts hold no password or token of an address, for files that are passed on."""
    if isinstance(record, str):
        return redact_address(record) if _WHOLE.match(record) and "\n" not in record else redact_addresses(record)
    if isinstance(record, dict):
        return {redact_record(name): redact_record(value) for name, value in record.items()}
    if isinstance(record, list | tuple):
        return [redact_record(value) for value in record]
    return record


def is_cut(address: str) -> bool:
    """Return whether an address was written down without its password or token."""
    return bool(_WHOLE.match(address)) and HIDDEN in address


def is_url(place: str) -> bool:
    """Return whether a place is an address, such as "s3://bucket/shards", and not a path on this disk."""
    return _URL.match(place) is not None


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet: not of this machine, its network or its provider.

    Addresses of IPv4 inside IPv6 (mapped, 6to4, Teredo, NAT64) count as what they stand for.

    >>> is_public("93.184.216.34"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    found: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            found = inner
        elif found.is_site_local:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def _cut(address: str) -> tuple[str, list[str]]:
    """The address without its secrets, and the secrets."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "", address
    before, at, after = rest.rpartition("@")
    user, colon, password = before.partition(":")
    secrets: list[str] = []
    if at and colon:
        secrets.append(password)
        shown = f"{user}:{HIDDEN}@"
    elif at and scheme.lower() in _WEB and not re.search(r"[/?#]", before):
        secrets.append(before)
        shown = f"{HIDDEN}@"
    else:
        shown, after = "", rest
    place, further = re.split(r"[?#]", after, maxsplit=1) if re.search(r"[?#]", after) else (after, "")
    mark = after[len(place) : len(place) + 1]
    if mark == "?":
        query, hidden = _query(further)
        return f"{scheme}{separator}{shown}{place}?{query}", [*secrets, *hidden]
    if mark and separator:
        return f"{scheme}{separator}{shown}{place}#{HIDDEN}", [*secrets, further]
    tail = place + mark + further
    if found := _SETTING.search(tail):  # such as "host=127.0.0.1 password=…", which libpq understands
        start = found.end(1)
        return f"{scheme}{separator}{shown}{tail[:start]}{HIDDEN}", [*secrets, *tail[start:].split()[:1]]
    return f"{scheme}{separator}{shown}{tail}", secrets


def _query(text: str) -> tuple[str, list[str]]:
    """A query up to its first secret, whose end nobody knows: it may hold `&` and `#`; and the secrets."""
    shown: list[str] = []
    pieces = text.split("&")
    for number, piece in enumerate(pieces):
        name, equals, _ = piece.partition("=")
        if not equals or name.lower() not in _HARMLESS or "#" in piece:
            known = name + equals if equals and re.fullmatch(r"[\w.-]+", name) else ""
            rest = "&".join(pieces[number:])[len(known) :]
            values = [one.partition("=")[2] or one for one in rest.split("&")]
            return "&".join([*shown, known + HIDDEN]), [rest, *values, values[0].partition("#")[0]]
        shown.append(piece)
    return "&".join(shown), []
