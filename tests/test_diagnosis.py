"""`calco doctor` describes the machine, and nothing that is nobody's business."""

import getpass
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import calco
import calco.cli


def test_the_report_is_one_block_with_machine_versions_devices_extras_models_and_threads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    calco.cli.main(["doctor"])
    text = capsys.readouterr().out
    lines = text.splitlines()
    titles = [line for line in lines if not line.startswith(" ")]
    assert titles == ["machine", "versions", "devices", "extras", "models", "threads"]
    assert any(line.split() == ["torch", importlib.metadata.version("torch")] for line in lines)
    assert any(line.split()[:2] == ["cores", str(len(os.sched_getaffinity(0)))] for line in lines)
    assert any(line.startswith("  --threads auto") for line in lines)


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    calco.cli.main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["versions"] == calco.doctor(calco.DoctorConfig()).record()["versions"]


def test_an_extra_that_is_missing_is_named_with_its_pip_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "duckdb":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    extras = calco.doctor(calco.DoctorConfig()).sections["extras"]
    assert extras["crime"] == "missing duckdb: pip install 'calco[crime]'"
    assert "missing" not in extras["augment"]


def test_names_of_users_homes_and_secrets_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "hub" / "models--someone--faces" / "blobs"
    model.mkdir(parents=True)
    (model / "0").write_bytes(b"0" * 3_000_000)
    monkeypatch.setattr(getpass, "getuser", lambda: "ana_quispe")
    variables = {
        "HOME": str(tmp_path), "HF_HOME": str(tmp_path), "TMPDIR": "/data/ana_quispe/tmp", "HF_TOKEN": "hf_verysecret",
        "CALCO_TOKEN": "sixteen-characters", "HTTPS_PROXY": "http://ana:pw@proxy", "LD_PRELOAD": "http://ana:pw@host/x",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = calco.doctor(calco.DoctorConfig()).text()
    for secret in (str(tmp_path), "ana_quispe", "verysecret", "sixteen", ":pw@"):
        assert secret not in text
    assert "someone/faces" in text and "3 MB, cached in ~/hub" in text
    assert "/data/USER/tmp" in text
    assert "HF_TOKEN" in text


def test_it_imports_no_torch_where_there_is_no_gpu() -> None:
    if any(Path("/proc/driver/nvidia/gpus").glob("*")):
        pytest.skip("no installation brings it: a machine without a GPU")
    code = "import calco, sys; calco.doctor(calco.DoctorConfig())"
    code += "\nassert not {'torch', 'cv2', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
