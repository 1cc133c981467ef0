"""The options of each verb, as the command line shows them; the function's words are the help."""

from typing import Annotated, Any, Literal

from tyro.conf import arg

Model = Annotated[str, arg(metavar="MODEL")]
Pictures = Annotated[str, arg(metavar="PICTURES")]
Options = dict[str, Any]


def demo(out: str = "demo", minutes: float = 3.0, drawings: int = 900, seed: int = 0) -> Options:
    """Trains sketch -> colour on OpenMoji drawings, scores it on drawings it never saw, writes report and film.

    Args:
        out: The folder to write into.
        minutes: Minutes of training.
        drawings: How many drawings to learn from.
        seed: From which every chance derives.
    """
    return locals()


def evaluate(
    model: Model,
    pictures: Annotated[str | None, arg(metavar="PICTURES")] = None,
    /,
    out: str | None = None,
    source: Literal["auto", "side-by-side", "parallel", "masks", "photographs", "openmoji"] | None = None,
    input: str | None = None,
    target: str | None = None,
    direction: Literal["AtoB", "BtoA"] | None = None,
    masks: str | None = None,
    limit: int = 0,
    inception: str | None = None,
    seed: int = 0,
) -> Options:
    """Scores a model on pictures; writes scores.json and report.html.

    Args:
        model: A run or a model folder.
        pictures: What to score on; without it, the pictures that the run kept apart for testing.
        out: The folder of the report; by default `report` in the run.
        source: What the pictures are; by default as in training.
        input: The folder of the inputs; by default as in training.
        target: The folder of the targets; by default as in training.
        direction: Which half is the input; by default as in training.
        masks: A folder of stroke masks for erase, in place of the one of the training.
        limit: At most so many pictures; 0 takes all.
        inception: Weight file for FID, KID and the Inception score, or `download`.
        seed: Of the holes that erase makes and of the bootstrap.
    """
    return locals()


def compare(runs: Annotated[list[str], arg(metavar="RUN")], /, out: str = "comparison.html") -> Options:
    """Puts evaluated runs side by side, on one page.

    Args:
        runs: Two or more runs that `calco evaluate` has scored.
        out: The page to write.
    """
    return locals()


def translate(
    model: Model,
    pictures: Pictures,
    /,
    out: str,
    noise_seed: int | None = None,
    native: bool = False,
    overwrite: bool = False,
) -> Options:
    """Translates a picture or a folder of pictures.

    Args:
        model: A run or a model folder.
        pictures: A picture, or a folder that is read with its sub-folders.
        out: The folder to write into.
        noise_seed: Leaves dropout on, drawn from this seed, for variety.
        native: Shows the network the pictures at their own scale, not at that of training.
        overwrite: Translates again what stands in the folder.
    """
    return locals()
