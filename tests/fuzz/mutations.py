"""What may happen to a file: bits that fall over, ends that are missing, lengths that lie, words that do not belong."""

import re
import struct
import zlib

import numpy as np

Chance = np.random.Generator

LENGTHS = (0, 1, 2, 255, 256, 32767, 32768, 60_000, 65535, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
WORDS = (
    b"", b"0", b"-1", b"-0", b"1e309", b"-1e309", b"NaN", b"Infinity", b"nan", b"inf", b"null", b"true", b"[]", b"{}",
    b'""', b"1" * 400, b"99999999999999999999", b"0.1", b"1e-320", b'"\\ud800"', b"\xff\xfe", b"\x00", b"\xe9", b"'",
    b'"', b"<", b"&x;",
    b"[" * 3000, b"{\"a\":" * 3000, b"../../../etc/passwd", b"/etc/passwd", b"\n", b"\r", b",", b" ",
    "\u202e\u00f1".encode(), b"0x10", b"1_000", b"x" * 5000, b"!!python/object/apply:os.system [id]", b"&a [*a, *a]",
)  # fmt: skip
TOKEN = re.compile(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?|\"[^\"\n]*\"|[A-Za-z_]+|[\[\]{}(),:;<>=/&\n]")


def _place(data: bytes, chance: Chance) -> int:
    """Anywhere, but half of the time near the beginning, where formats keep what they believe."""
    return int(chance.integers(0, max(1, min(len(data), 64) if chance.random() < 0.5 else len(data))))


def flip(data: bytes, chance: Chance) -> bytes:
    changed = bytearray(data)
    for _ in range(int(chance.integers(1, 12)) if data else 0):
        changed[_place(data, chance)] ^= 1 << int(chance.integers(8))
    return bytes(changed)


def overwrite(data: bytes, chance: Chance) -> bytes:
    at, length = _place(data, chance), int(chance.integers(1, 40))
    filling = (bytes(length), b"\xff" * length, chance.bytes(length))[int(chance.integers(3))]
    return (data[:at] + filling + data[at + length :])[: len(data)]


def truncate(data: bytes, chance: Chance) -> bytes:
    return data[: _place(data, chance)]


def delete(data: bytes, chance: Chance) -> bytes:
    at = _place(data, chance)
    return data[:at] + data[at + int(chance.integers(1, 64)) :]


def insert(data: bytes, chance: Chance) -> bytes:
    at = _place(data, chance)
    return data[:at] + chance.bytes(int(chance.integers(1, 64))) + data[at:]


def repeat(data: bytes, chance: Chance) -> bytes:
    at = _place(data, chance)
    end = at + int(chance.integers(1, 200))
    return data[:end] + data[at:end] * int(chance.integers(1, 20)) + data[end:]


def lie(data: bytes, chance: Chance) -> bytes:
    """A number of two, four or eight bytes, of either order, in the place of another."""
    at = _place(data, chance)
    form = "<>"[int(chance.integers(2))] + "HIQ"[int(chance.integers(3))]
    number = LENGTHS[int(chance.integers(len(LENGTHS)))] & ((1 << 8 * struct.calcsize(form)) - 1)
    return data[:at] + struct.pack(form, number) + data[at + struct.calcsize(form) :]


def reword(data: bytes, chance: Chance) -> bytes:
    """A word of a text replaced by one that does not belong there."""
    tokens = list(TOKEN.finditer(data))
    if not tokens:
        return flip(data, chance)
    token = tokens[int(chance.integers(len(tokens)))]
    return data[: token.start()] + WORDS[int(chance.integers(len(WORDS)))] + data[token.end() :]


def swap_words(data: bytes, chance: Chance) -> bytes:
    """The parts of a text in another order."""
    tokens = list(TOKEN.finditer(data))
    if len(tokens) < 2:
        return repeat(data, chance)
    first, second = sorted(chance.choice(len(tokens), 2, replace=False).tolist())
    one, other = tokens[first], tokens[second]
    middle = data[one.end() : other.start()]
    return data[: one.start()] + other[0] + middle + one[0] + data[other.end() :]


BINARY = (flip, overwrite, truncate, delete, insert, repeat, lie, lie)
TEXT = (flip, truncate, delete, insert, repeat, reword, reword, reword, swap_words)


def mutate(data: bytes, other: bytes, chance: Chance) -> bytes:
    """One to three mishaps; now and then the rest comes from another file."""
    text = b"\x00" not in data[:512] and len(TOKEN.findall(data[:512])) > 8
    for _ in range(int(chance.integers(1, 4))):
        kinds = TEXT if text else BINARY
        data = kinds[int(chance.integers(len(kinds)))](data, chance)
    if chance.random() < 0.08:
        data = data[: _place(data, chance)] + other[_place(other, chance) :]
    if data.startswith(b"\x89PNG") and chance.random() < 0.7:
        data = with_right_sums(data)
    return data


def with_right_sums(png: bytes) -> bytes:
    """A PNG whose check sums are right again: without, every change in a header would be found by its sum alone."""
    parts, at = [png[:8]], 8
    while at + 12 <= len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        body = png[at + 4 : at + 8 + length]
        if len(body) < 4 + length:
            break
        parts.append(png[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join(parts) + png[at:]
