"""Faces: the rank at which the true person is found when photographs are searched with a generated face.

An embedding turns each face into a vector. The persons of the gallery are sorted by the cosine similarity of their
photographs to the query; the place of the true person is the rank. The same search with the input itself (the sketch)
and the rank that chance gives stand beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from calco import imaging
from calco.data.sample import Pair
from calco.errors import CalcoError
from calco.evaluation.embedding import Embedding
from calco.evaluation.scores import Bootstrap, Floats, Metric, Score
from calco.imaging import Image

GENERATED: Final = "generated face"
INPUT: Final = "input itself"
CHANCE: Final = "chance"
FIRST: Final = 5
"""Rank up to which a search counts as successful in "rank 5"."""
FACE_METRICS: Final[dict[str, Metric]] = {
    "rank_1": Metric("Rank 1", "higher", 3, "Share of the persons whom the search finds in the first place."),
    "rank_5": Metric("Rank 5", "higher", 3, f"Share of the persons among the first {FIRST}."),
    "mean_rank": Metric("Mean rank", "lower", 1, "Mean place of the true person, 1 the first."),
}
NEAR: Final = 0.02
"""Mean absolute difference of two photographs' thumbnails, in [0, 1], up to which they show the same person."""
_SIDE: Final = 24  # of the thumbnails, pixels
_AT_ONCE: Final = 512  # rows of distances in memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Face:
    """Photograph of the gallery."""

    key: str
    group: str
    vector: Floats  # D
    thumbnail: npt.NDArray[np.float32]  # flat, in [0, 1]


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceQuery:
    """Photograph of a pair, and the vectors of what is searched with."""

    photograph: Face
    queries: Mapping[str, Floats]  # GENERATED and INPUT


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceRank:
    """Ranks of one image."""

    key: str
    person: str  # name of the person's first photograph
    ranks: Mapping[str, int]  # GENERATED and INPUT


@dataclass(frozen=True, kw_only=True)
class FaceScores:
    """Ranks of the true persons in a gallery of photographs."""

    judge: str  # name of the embedding
    num_persons: int  # in the gallery
    num_photographs: int  # of them
    num_queries: int  # persons who were searched for
    systems: Mapping[str, Mapping[str, Score]]  # GENERATED, INPUT and CHANCE, metric, score
    curves: Mapping[str, Sequence[float]]  # cumulative match: share of persons found up to rank 1, 2, ...
    images: Sequence[FaceRank]
    notes: Sequence[str] = ()

    def sentence(self) -> str:
        """Describe in words how often the generated face finds its person."""
        shares = {system: row["rank_1"].mean for system, row in self.systems.items()}
        found = {system: f"{share * self.num_queries:.0f} ({share:.0%})" for system, share in shares.items()}
        text = (
            f"Of {self.num_queries} persons among {self.num_persons} the generated face finds {found[GENERATED]}, the "
            f"input itself {found[INPUT]} and chance {shares[CHANCE]:.0%} in the first place."
        )
        if shares[INPUT] > shares[GENERATED]:
            text += " The input finds more: the translation loses what tells persons apart."
        return text


def same_persons(faces: Sequence[Face]) -> npt.NDArray[np.int64]:
    """Return a number for the person of each photograph, N: the place of the person's first one.

    Photographs of one group, and those whose thumbnails differ by `NEAR` or less, show one person.
    """
    first_of_group: dict[str, int] = {}
    person = np.array([first_of_group.setdefault(face.group, place) for place, face in enumerate(faces)])
    thumbnails = torch.from_numpy(np.stack([face.thumbnail for face in faces]))
    for start in range(0, len(faces), _AT_ONCE):
        away = torch.cdist(thumbnails[start : start + _AT_ONCE], thumbnails, p=1) / thumbnails.shape[1]
        for row, column in (away <= NEAR).nonzero().tolist():
            one, other = sorted((person[start + row], person[column]))
            if one != other:
                person[person == other] = one
    return person.astype(np.int64)


def person_ranks(
    queries: Floats, gallery: Floats, persons: npt.NDArray[np.int64], true: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the rank of the true person of each query, from 1 on.

    A person is as near as the nearest of their photographs. Others who are as near as the true person rank before
    them, so that an embedding which sees no difference finds nobody.

    Args:
        queries: Q x D, each of length one.
        gallery: N x D, each of length one.
        persons: Number of the person of each photograph, N.
        true: Number of the true person of each query, Q; all of them occur in `persons`.
    """
    numbers, places = np.unique(persons, return_inverse=True)
    ranks: npt.NDArray[np.int64] = np.empty(len(queries), np.int64)
    for place, query in enumerate(queries):
        best = np.full(len(numbers), -np.inf)
        np.maximum.at(best, places, np.round(gallery @ query, 9))  # rounding: equal vectors tie
        ranks[place] = (best >= best[np.searchsorted(numbers, true[place])]).sum()
    return ranks


def match_curve(ranks: npt.NDArray[np.int64], num_persons: int, weights: Floats) -> Floats:
    """Return the share of queries, weighted, whose rank is at most 1, 2, ..., `num_persons`."""
    share = np.bincount(ranks - 1, weights, num_persons).cumsum() / weights.sum()
    return np.asarray(np.minimum(share, 1.0), np.float64)


@dataclass(kw_only=True)
class FaceJudge:
    """Searches photographs with faces; can be sent to another process, which loads the network anew."""

    embedding: Embedding
    others: Sequence[Face] = field(default=(), repr=False)  # further photographs of the gallery
    whole_set: bool = False  # whether photographs that do not count stand in the gallery, too

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"others": ()}

    def face(self, pair: Pair) -> Face:
        """Return the photograph of a pair as the gallery holds it."""
        shown = imaging.as_channels(imaging.as_dtype(imaging.visible(pair.target), np.uint8), 3)
        small = imaging.resize(shown, (_SIDE, _SIDE), "area").astype(np.float32).ravel() / np.float32(255)
        return Face(key=pair.key, group=pair.group, vector=self.embedding(pair.target), thumbnail=small)

    def examined(self, pair: Pair, output: Image) -> FaceQuery:
        """Return the vectors of a pair and of the generated face."""
        queries = {GENERATED: self.embedding(output), INPUT: self.embedding(pair.input)}
        return FaceQuery(photograph=self.face(pair), queries=queries)

    def summary(
        self, found: Sequence[FaceQuery], keys: Sequence[str], groups: Sequence[str], counted: Sequence[int], seed: int
    ) -> FaceScores:
        """Return the ranks of the images that count, each person with the same weight.

        Raises:
            CalcoError: If the gallery holds a single person.
        """
        del keys, groups  # stand in the faces
        shown = [place for place in range(len(found)) if self.whole_set or place in set(counted)]
        faces = [*(found[place].photograph for place in shown), *self.others]
        persons = same_persons(faces)
        num_persons = len(np.unique(persons))
        if num_persons < 2:
            raise CalcoError(
                "the gallery holds the photographs of one person alone, so there is nobody to confuse them with; add "
                "photographs, or name --gallery all"
            )
        vectors = np.stack([face.vector for face in faces])
        mean = vectors.mean(0) if self.embedding.centred else np.zeros(vectors.shape[1])
        gallery = _unit(vectors - mean)
        own = np.array([persons[shown.index(place)] for place in counted])
        weights = 1 / np.bincount(own)[own]  # photographs of one person count as one
        bootstrap = Bootstrap([str(person) for person in own], seed)
        num_queries = len(np.unique(own))
        ranks: dict[str, npt.NDArray[np.int64]] = {}
        systems: dict[str, dict[str, Score]] = {}
        for system in (GENERATED, INPUT):
            queries = _unit(np.stack([found[place].queries[system] for place in counted]) - mean)
            ranks[system] = person_ranks(queries, gallery, persons, own)
            values: dict[str, Floats] = {
                "rank_1": (ranks[system] == 1).astype(np.float64),
                "rank_5": (ranks[system] <= FIRST).astype(np.float64),
                "mean_rank": ranks[system].astype(np.float64),
            }
            systems[system] = {
                key: Score.of(
                    float((value * weights).sum() / weights.sum()),
                    None if num_queries < 2 else bootstrap.ratios(value * weights, weights),
                    num_queries,
                )
                for key, value in values.items()
            }
        systems[CHANCE] = {
            "rank_1": Score(1 / num_persons), "rank_5": Score(min(1.0, FIRST / num_persons)),
            "mean_rank": Score((num_persons + 1) / 2),
        }  # fmt: skip
        curves = {name: match_curve(each, num_persons, weights).tolist() for name, each in ranks.items()}
        curves[CHANCE] = [rank / num_persons for rank in range(1, num_persons + 1)]
        rows = [
            FaceRank(
                key=found[place].photograph.key, person=faces[own[number]].key,
                ranks={system: int(each[number]) for system, each in ranks.items()},
            )
            for number, place in enumerate(counted)
        ]  # fmt: skip
        return FaceScores(
            judge=self.embedding.name, num_persons=num_persons, num_photographs=len(faces), num_queries=num_queries,
            systems=systems, curves=curves, images=rows, notes=_notes(num_persons, len(faces)),
        )  # fmt: skip


def _unit(vectors: Floats) -> Floats:
    """N x D, each of length one; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float64)


def _notes(num_persons: int, num_photographs: int) -> list[str]:
    """Describe what limits the figures."""
    notes = []
    if num_photographs > num_persons:
        notes.append(
            f"{num_photographs} photographs show {num_persons} persons: equal ones and those of one group count as one."
        )
    if num_persons < 20:
        notes.append(f"A gallery of {num_persons} persons is small: --gallery all searches the whole set.")
    return notes
