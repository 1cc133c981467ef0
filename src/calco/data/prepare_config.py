"""Everything that `calco prepare` can be told."""

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias, get_args

from tyro.conf import OmitArgPrefixes, Positional, arg

from calco.data.config import SourceConfig, SplitConfig
from calco.data.recipe_config import RecipeConfig, steps_of
from calco.errors import UsageError
from calco.records import check_numbers
from calco.work import Engine, Name

Format: TypeAlias = Literal["webdataset", "side-by-side", "parallel", "coco", "voc", "yolo"]


FORMATS: Final[tuple[str, ...]] = get_args(Format)


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """Pairs that are made once and kept: from images to shards, or to files for other tools."""

    images: Annotated[str, Positional, arg(metavar="IMAGES")] = ""
    """Images, videos or shards: a folder, a file or an address; hub:owner/name; or the built-in drawings, openmoji."""

    out: str = ""
    """The folder to write into; what stands there from an interrupted work is gone on with."""

    format: Format | Literal["auto"] = "auto"
    """webdataset: tar files; side-by-side: one image of both halves; parallel: two folders, input and target; coco,
    voc, yolo: the images as they are, with their boxes and outlines in that format; auto takes coco for the recipe
    composite, webdataset for all others."""

    size: int = 0
    """The side that images are brought to, pixels; 0 keeps their own."""

    fit: Literal["stretch", "cover"] = "stretch"
    """stretch brings both sides to the size, cover the shorter one and keeps the aspect."""

    variants: int = 1
    """Number of differently made pairs of each image; they stay in one group."""

    count: int = 0
    """Number of images that the recipe composite makes, spread over the photographs; 0 makes one (or `variants`) of
    each."""

    shard_pairs: int = 1000
    """Pairs in a tar file, at most."""

    jobs: int = 0
    """Processes at work; 0 for as many as there are cores. What is written does not depend on it."""

    engine: Name = "local"
    """local: processes of this machine; ray: Ray Data, whole parts at a time. What is written is the same."""

    address: str = ""
    """Of a Ray cluster: auto, ray://host:10001 or host:6379; without one, a Ray of its own on this machine."""

    overwrite: bool = False
    """Begins anew where something was prepared before."""

    seed: int = 0
    """Seed of all random number generators."""

    source: Annotated[SourceConfig, OmitArgPrefixes] = field(default_factory=SourceConfig)
    recipe: Annotated[RecipeConfig, OmitArgPrefixes] = field(default_factory=RecipeConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        check_numbers(self, jobs=1024, size=65_536)
        if self.format not in (*FORMATS, "auto"):
            raise UsageError(f"format is {self.format!r}; choose one of {', '.join(FORMATS)}")
        if self.size < 0 or self.jobs < 0:
            raise UsageError(f"size {self.size} and jobs {self.jobs}: neither may be below 0; leave them out")
        if self.count < 0:
            raise UsageError(f"count is {self.count}; give the number of composites, such as 2000, or leave it out")
        if self.count and (not self.composes or self.variants > 1):
            wanted = "leave --variants out" if self.composes else "it goes with --recipe composite"
            raise UsageError(f"count {self.count} tells how many composites are made; {wanted}")
        self.workers()  # which says what does not fit together
        if self.variants < 1 or self.shard_pairs < self.variants:
            raise UsageError(
                f"variants {self.variants} and shard_pairs {self.shard_pairs}: there must be at least one variant, and "
                "all of an image must fit into one tar file"
            )
        if self.annotated and self.variants > 1 and not self.composes:
            raise UsageError(f"{self.format} keeps images as they are, in one variant; leave --variants out")

    def workers(self) -> Engine:
        """Return the engine that makes the pairs."""
        return Engine(name=self.engine, jobs=self.jobs, address=self.address)

    @property
    def written(self) -> Format:
        """The format, "auto" settled."""
        if self.format == "auto":
            return "coco" if self.composes else "webdataset"
        return self.format

    @property
    def composes(self) -> bool:
        """Return whether cut-outs are pasted on photographs."""
        return self.recipe.recipe != "auto" and steps_of(self.recipe.recipe)[0] == "composite"

    @property
    def annotated(self) -> bool:
        """Return whether images with boxes are written, not pairs."""
        return self.written in ("coco", "voc", "yolo")
