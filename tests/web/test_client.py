"""`calco.Client` gives a studio work that takes long: waited for, cancelled, its result written."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import calco
from calco.errors import CalcoError
from calco.video.reading import Video
from video.videos import make_video
from web.archives import image_bytes, written, zip_bytes
from web.studios import Site, opened


@pytest.fixture(scope="module")
def site(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened(tmp_path_factory.mktemp("state"), runs / "faces", runs / "people") as found:
        yield found


@pytest.mark.slow
def test_a_client_has_a_video_and_an_archive_done(site: Site, tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", 6)
    archive = written(tmp_path / "images.zip", zip_bytes({"a.png": image_bytes(), "b.png": image_bytes()}))
    told: list[float] = []
    with calco.Client(site.url) as client:
        job = client.submit("faces", video, steady=True).wait(lambda share, _message: told.append(share))
        assert len([*Video(job.result(tmp_path / "done.mp4")).frames()]) == 6
        assert told[-1] == 1 and told == sorted(told)
        done = client.submit("faces", archive, noise_seed=7).wait().result(tmp_path / "done.zip")
        assert {"a.png", "b.png"} <= {*zipfile.ZipFile(done).namelist()}
        with pytest.raises(CalcoError, match="refuses: the upload is neither an image, nor a video"):
            client.submit("faces", written(tmp_path / "x.mp4", b"no video"))
        with pytest.raises(CalcoError, match="cannot read .*nowhere.mp4"):
            client.submit("faces", tmp_path / "nowhere.mp4")


def test_a_cancelled_job_says_so(site: Site, tmp_path: Path) -> None:
    video = make_video(tmp_path / "v.mp4", 300)
    with calco.Client(site.url) as client:
        job = client.submit("faces", video)
        job.cancel()
        with pytest.raises(CalcoError, match="the job was cancelled|refuses"):
            job.wait()
        with pytest.raises(CalcoError, match="refuses"):
            job.result(tmp_path / "none.mp4")
    assert not (tmp_path / "none.mp4").exists()
