"""The timeline in a browser, as a person uses it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calco import imaging
from calco.watch.rules import Near, Rule, Rules
from calco.watch.run import EVENTS, Timeline

RULES = Rules(
    rules=(
        Rule(name="</script><b>armed", classes=("person",), near=Near(classes=("gun",)), seconds=2),
        Rule(name="lingers", classes=("person",), seconds=3),
    )
)


def event(number: int, rule: str, time: float, track: int, **more: Any) -> dict[str, Any]:
    return {"format": 1, "event": number, "rule": rule, "time": time, "frame": 1, "track": track, "class": "person",
            "score": 0.91, "held": 2.0, "zone": None, "box": [0, 0, 1, 1], "near": [],
            "crop": f"crops/{number:06d}.jpg", **more}  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "crops").mkdir()
    near = [{"track": 3, "class": "gun", "score": 0.5, "box": [0, 0, 1, 1], "distance": 0.25}]
    events = [event(1, RULES.rules[0].name, 12.5, 1, near=near), event(2, "lingers", 70.0, 2, crop="crops/gone.jpg"),
              event(3, "lingers", 75.0, 2, clock="2026-11-21T20:00:00.123+00:00")]  # fmt: skip
    for number in (1, 3):
        imaging.write(folder / f"crops/{number:06d}.jpg", np.full((90, 40, 3), 60 * number, np.uint8))
    tracks = [
        {"track": n, "class": name, "first": first, "last": last}
        for n, name, first, last in ((1, "person", 2, 30), (2, "person", 50, 80), (3, "gun", 10, 14))
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events) + '{"cut o')
    (folder / "tracks.jsonl").write_text("".join(json.dumps(t) + "\n" for t in tracks))
    timeline = Timeline(folder, "door & yard.mp4", RULES, ("person", "gun"), blurred=False)
    return timeline.write(["768×576 pixels"], {RULES.rules[0].name: 1, "lingers": 2})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(page: Path, browser: Any, scheme: str) -> None:
    opened = browser.new_page(color_scheme=scheme, viewport={"width": 1000, "height": 800})
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url)
    )
    opened.goto(page.as_uri())
    assert opened.locator("h1").inner_text() == "door & yard.mp4"
    assert opened.locator("#chart .dot").count() == 3 and opened.locator("#chart .track").count() == 3
    assert "</script><b>armed" in opened.locator("#chart").text_content()
    assert "within 0.5 box heights of gun" in opened.locator("table").inner_text()
    assert opened.locator(".event").first.inner_text().startswith("lingers") and "20:00:00 UTC" in opened.content()
    opened.locator('#chart .dot[data-event="1"]').click()
    assert (
        opened.locator("dialog img").is_visible() and "gun 3 at 0.25 heights" in opened.locator("dialog").inner_text()
    )
    opened.keyboard.press("Escape")
    assert opened.locator("#event-1").get_attribute("class") == "event on"
    opened.locator('#chart .track[data-track="2"]').click()
    assert opened.locator(".event.on").count() == 2
    opened.locator('[data-zoom="in"]').click()
    opened.locator('[data-zoom="in"]').click()
    assert opened.locator("#chart .dot").count() < 3
    opened.locator('[data-zoom="all"]').click()
    assert opened.locator("#chart .dot").count() == 3
    opened.locator('.chips [data-rule="lingers"]').click()
    assert [card.is_visible() for card in opened.locator(".event").all()] == [False, False, True]
    opened.set_viewport_size({"width": 380, "height": 700})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 380
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) > 380) == (scheme == "light")
    opened.close()
    assert said == []


def test_an_empty_watch_has_a_page(tmp_path: Path, browser: Any) -> None:
    page = Timeline(tmp_path, "nothing", Rules(), ("person",), blurred=True).write([], {})
    opened = browser.new_page()
    said: list[str] = []
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(page.as_uri())
    assert "0 events. Faces are blurred" in opened.locator(".verdict").inner_text() and said == []
    opened.close()


def test_a_long_watch_has_a_page_of_bounded_size(tmp_path: Path) -> None:
    lines = (json.dumps(event(n, "lingers", float(n), n, crop="")) + "\n" for n in range(1, 3 * EVENTS))
    (tmp_path / "events.jsonl").write_text("".join(lines))
    page = Timeline(tmp_path, "long", RULES, ("person",), blurred=True).write([], {"lingers": 3 * EVENTS - 1})
    text = page.read_text()
    assert text.count('<li class="event"') == EVENTS and f"has {2 * EVENTS - 1:,} more" in text
