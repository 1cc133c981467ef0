"""Events of a watch, as they are written and as hooks get them."""

from typing import Any, Final

from calco.watch.judging import Verdict

FORMAT: Final = 1


def event_of(number: int, verdict: Verdict, *, time: float, frame: int, clock: str | None, crop: str) -> dict[str, Any]:
    """An event as it is written, and as a hook gets it.

    Args:
        number: Of the event, from 1.
        verdict: What was fulfilled.
        time: Seconds from the beginning of the watch; in a video, of the video.
        frame: Number of the frame, from 0.
        clock: Time of day in ISO 8601, of live images.
        crop: Where the crop lies, from the folder of the watch.
    """
    track, rule = verdict.track, verdict.rule
    return {
        "format": FORMAT, "event": number, "rule": rule.name, "time": round(time, 3),
        **({} if clock is None else {"clock": clock}),
        "frame": frame, "track": track.id, "class": track.name, "score": round(track.score, 4),
        "held": round(verdict.held, 3), "zone": rule.zone or None, "box": box_of(track.box),
        "near": [{"track": other.id, "class": other.name, "score": round(other.score, 4), "box": box_of(other.box),
                  "distance": round(distance, 3)} for other, distance in verdict.others],
        "crop": crop,
    }  # fmt: skip


def box_of(box: Any) -> list[float]:
    """Left, top, right, bottom with a decimal."""
    return [round(float(end), 1) for end in box]
