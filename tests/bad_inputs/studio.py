"""What the studio and the lessons refuse to start with."""

import socket
from pathlib import Path

from bad_inputs.making import Bad, as_it_is, file

_HELD: list[socket.socket] = []


def taken_port(folder: Path) -> None:
    """A port on which somebody else listens, until this process ends."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.listen()
    _HELD.append(held)
    (folder / "port").write_text(str(held.getsockname()[1]))


CASES = (
    Bad("the studio at a port in use", taken_port, code=2, command="serve --port @port",
        says=("in use; choose another, or --port 0",)),
    Bad("the studio at an address of another machine", as_it_is, code=2, command="serve --host 203.0.113.9 --port 0",
        says=("203.0.113.9", "choose another")),
    Bad("a folder of images as a model of the studio", as_it_is, code=2, command="serve set --port 0",
        says=("set holds no model.json", "name the folder that does")),
    Bad("an image as a model of the studio", as_it_is, code=2, command="serve set/a.png --port 0",
        says=("set/a.png is not a model; name a run, a model folder",)),
    Bad("a file of torch as a model of the studio", file("m.pt", b"PK\x03\x04"), code=2, command="serve m.pt --port 0",
        says=("may run code", "ONNX")),
    Bad("a database for the studio that is not there", as_it_is, code=2, command="serve --crime no.duckdb --port 0",
        says=("there is no database no.duckdb",)),
    Bad("a token that is easily guessed", as_it_is, code=2, command="serve --token secret",
        says=("--token has 6 characters", "16 or more")),
    Bad("a studio that is open and asks for a token", as_it_is, code=2,
        command="serve --host 0.0.0.0 --open --token 0123456789abcdef", says=("leave one of them out",)),
    Bad("a file as the folder of the studio", as_it_is, code=2, command="serve --folder set/a.png --port 0",
        says=("cannot make the folder set/a.png",)),
    Bad("no room for a request in the studio", as_it_is, code=2, command="serve --queue 0",
        says=("queue is 0; it must lie between 1 and 10000",)),
    Bad("a lesson that is not in the course", as_it_is, code=2, command="lessons run 9.9",
        says=("there is no lesson '9.9'", "calco lessons lists them")),
    Bad("a lesson at a port in use", taken_port, code=2, command="lessons open 2.4 --no-browser --port @port",
        says=("in use; choose another, or --port 0",)),
    Bad("an image as the folder of the pages of lessons", as_it_is, code=2,
        command="lessons export 2.4 --out set/a.png",
        says=("cannot make the folder set/a.png", "choose another path")),
)  # fmt: skip
