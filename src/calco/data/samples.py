"""The pairs in tar files: those that an index names, and those whose members nobody has named yet."""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from calco import imaging
from calco.data import remote
from calco.data.config import SourceConfig
from calco.data.shards import Member, members, sample_of
from calco.data.source import Item
from calco.errors import CalcoError

PARTS: Final = ("input", "target", "weight", "region", "json")
"""What a pair consists of. `Item.place` holds the first byte and the length of each in this order, 0 0 for what there
is not, then its digest and its checksum as numbers, 0 where nobody has told them."""


@dataclass
class Found:
    """What the tar files hold."""

    items: list[Item] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def put_pair(
    found: Found, key: str, group: str, place: str, split: str | None,
    members: dict[str, "tuple[int, int] | str"], digest: str, length: int | None, checksum: str = "",
) -> str:  # fmt: skip
    """Adds a pair; returns why it cannot be, or nothing."""
    spans = {kind.partition(".")[0]: span for kind, span in members.items() if not isinstance(span, str)}
    if "input" not in spans or any(start < 0 or size < 0 for start, size in spans.values()):
        return "its index is damaged"
    if hollow := [part for part, (_, size) in spans.items() if not size]:
        return f"its {hollow[0]} is empty"
    if length is not None and max(start + size for start, size in spans.values()) > length:
        return f"{place} ends before it does; copy the tar file anew"
    marks = (int(mark, 16) if re.fullmatch("[0-9a-f]{16}", mark) else 0 for mark in (digest, checksum))
    flat = [number for part in PARTS for number in spans.get(part, (0, 0))]
    found.items.append(Item(key, group, (place,), split, (*flat, *marks)))
    return ""


@dataclass
class Strangers:
    """Tar files that come without an index, whose members nobody has named yet."""

    samples: dict[tuple[str, str], dict[str, Member]] = field(default_factory=dict)
    splits: dict[str, str | None] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    unused: Counter[str] = field(default_factory=Counter)

    def read(self, place: str, split: str | None, left_out: dict[str, str]) -> None:
        """Lists a tar file by its headers; a damaged one keeps what stands before the damage."""
        self.splits[place] = split
        refused: dict[str, str] = {}
        with remote.opened(place) as file:
            for member in members(file, remote.size(place), refused):
                try:
                    sample, kind = sample_of(member.name)
                except CalcoError as error:
                    refused[member.name] = str(error)
                    continue
                self.samples.setdefault((place, sample), {}).setdefault(kind, member)
        left_out |= {f"{place}: {name}" if name else place: reason for name, reason in refused.items()}

    @property
    def remarks(self) -> tuple[str, ...]:
        """Which members of the pairs are not used, as a sentence without its full stop."""
        kinds = ", ".join(f"{kind} ({count})" for kind, count in self.unused.most_common(8))
        return (f"members of other kinds are not used: {kinds}",) if kinds else ()

    def settle(self, config: SourceConfig, found: Found) -> None:
        """Decides which members are input and target, and adds the pairs."""
        if not self.samples:
            return
        self.roles = _roles(self.samples.values(), config)
        names = Counter(sample for _, sample in self.samples)
        for (place, sample), kinds in self.samples.items():
            # One name in several tar files is several pairs.
            key = sample if names[sample] == 1 else f"{PurePosixPath(place).stem}/{sample}"
            roles = self.roles or _images(kinds)
            absent = [role for role in roles if role not in kinds]
            if absent or not roles:
                found.left_out[f"{place}: {sample}"] = f"it has no {absent[0] if absent else 'image'}"
                continue
            chosen = dict(zip(("input", "target"), roles, strict=False))
            chosen |= {part: kind for part in ("weight", "region", "json") for kind in kinds if _part(kind) == part}
            self.unused.update(kinds.keys() - set(chosen.values()))
            spans: dict[str, tuple[int, int] | str] = {
                part: (kinds[kind].start, kinds[kind].size) for part, kind in chosen.items()
            }
            if problem := put_pair(found, key, key, place, self.splits[place], spans, "", None):
                found.left_out[f"{place}: {sample}"] = problem


def _part(kind: str) -> str:
    return kind.partition(".")[0]


def _images(kinds: Iterable[str]) -> tuple[str, ...]:
    """The endings that are those of images, but for the weight and the region of a pair."""
    found = (kind for kind in kinds if imaging.is_image(f"x.{kind}") and _part(kind) not in ("weight", "region"))
    return tuple(sorted(found))


def _roles(samples: Collection[dict[str, Member]], config: SourceConfig) -> tuple[str, ...]:
    """The endings of the members that are input and target; none where there are single images."""
    endings = Counter(kind for kinds in samples for kind in kinds if imaging.is_image(f"x.{kind}"))
    if config.input or config.target:
        if not (config.input and config.target):
            raise CalcoError(
                "of --input and --target one is missing; name the endings of both members, such as jpg and png"
            )
        roles = tuple(name.lower().lstrip(".") for name in (config.input, config.target))
    else:
        if config.direction == "AtoB" and max(len(_images(kinds)) for kinds in samples) == 1:
            return ()
        own = tuple(kind for part in ("input", "target") for kind in _images(endings) if _part(kind) == part)
        roles = own if len(own) == 2 else _images(endings)
        if len(roles) != 2:
            seen = ", ".join(f"{kind} ({count})" for kind, count in endings.most_common(8)) or "none"
            raise CalcoError(
                f"a pair has two images, and the endings of images in these tar files are: {seen}; name those of "
                "input and target, such as --input jpg --target png"
            )
    if unknown := [role for role in roles if role not in endings]:
        raise CalcoError(f"no image in these tar files ends in {unknown[0]}, only in {', '.join(sorted(endings))}")
    return roles if config.direction == "AtoB" else roles[::-1]
