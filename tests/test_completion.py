"""Real shells complete verbs, options, their values and file names by the scripts that Calco prints."""

import os
import pty
import re
import select
import shutil
import signal
import time
from pathlib import Path

import pytest

import calco
from calco.cli.completion import options_of
from calco.cli.verbs import COMMANDS
from support import requires
from test_docs import help_of

# What starts each shell without anybody's settings, and what loads the script.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source ./script"),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -d zcompdump; source ./script"),
    "fish": (["fish", "--no-config", "-i"], "source ./script"),
}
# What is typed, with Tab after each unfinished word, and the arguments that Calco then gets.
TYPED = (
    ("calco tran\truns/fa\t", "translate runs/face.txt"),
    ("calco detect expl\tpho\t--out p", "detect explore photo.jpg --out p"),
    ("calco train photo.jpg --pres\t sm\t", "train photo.jpg --preset small"),
    ("calco train photo.jpg --direction=Bt\t", "train photo.jpg --direction=BtoA"),
    ("calco crime gener\t--rows 3", "crime generate --rows 3"),
    ("calco completion zs\t", "completion zsh"),
)


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    return {shell: calco.completion(calco.CompletionConfig(shell=shell)) for shell in ("bash", "zsh", "fish")}


def typed(shell: str, folder: Path, keys: str) -> str:
    """The arguments that a program named calco gets when somebody types these keys and Enter in a real shell."""
    words, load = SHELLS[shell]
    (folder / "got").unlink(missing_ok=True)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        home = {"HOME": str(folder), "PATH": f"{folder}/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        home["TERM"] = "xterm" if shell == "bash" else "dumb"  # where bash edits no lines
        os.execvpe(words[0], words, home)
    try:
        os.write(terminal, f"{load}; echo rea''dy\r".encode())
        assert "ready" in read_until(terminal, "ready\r"), "the script was not read"
        settle(terminal)
        for part in re.findall(r"[^\t]+\t?", keys):
            os.write(terminal, part.encode())
            settle(terminal)  # what is typed ahead of a Tab is not completed
        os.write(terminal, b"\r")
        end = time.monotonic() + 20
        while not (folder / "got").is_file() and time.monotonic() < end:
            read_until(terminal, "", 0.05)
        return (folder / "got").read_text() if (folder / "got").is_file() else "nothing was run"
    finally:
        os.kill(process, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(process, 0)


def settle(terminal: int) -> None:
    """Waits until a shell has shown what it has to show."""
    while read_until(terminal, "", 0.2):
        pass


def read_until(terminal: int, text: str, seconds: float = 20) -> str:
    """What a terminal shows until a text comes, or the time is over."""
    shown, end = "", time.monotonic() + seconds
    while time.monotonic() < end and not (text and text in shown):
        if select.select([terminal], [], [], 0.05)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "calco"
    program.write_text('#!/bin/sh\necho "$*" > got.part && mv got.part got\n')
    program.chmod(0o755)
    for name in ("photo.jpg", "runs/face.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("shell", ["bash", *(pytest.param(each, marks=pytest.mark.slow) for each in ("zsh", "fish"))])
@pytest.mark.parametrize(("keys", "arguments"), TYPED)
def test_a_shell_completes_what_is_typed(
    shell: str, keys: str, arguments: str, folder: Path, scripts: dict[str, str]
) -> None:
    requires(shutil.which(shell), shell, f"apt-get install {shell}")
    (folder / "script").write_text(scripts[shell])
    assert typed(shell, folder, keys).split() == arguments.split()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_are_those_of_the_help(command: str) -> None:
    names = {name for option in options_of(command) for name in option.names}
    shown = set(re.findall(r"^│ (?:-h, )?((?:--[\w.-]+(?:, )?)+)", help_of(command), flags=re.MULTILINE))
    listed = {name for line in shown for name in line.split(", ")}
    assert listed <= names


def test_values_are_those_that_the_configuration_takes() -> None:
    values = {option.names[0]: option.values for option in options_of("train") if option.names}
    assert values["--direction"] == ("AtoB", "BtoA")
    assert {"small", "best", "pix2pix"} <= {*values["--preset"]}
