"""Real sources for the tests of live images: videos whose frames carry their number, and servers that play them."""

import contextlib
import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from calco.imaging import Image

WIDTH, HEIGHT, RATE = 160, 96, 25


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """An image whose upper half tells a number in eight bars, black or white."""
    image = np.full((height, width, 3), 90, np.uint8)
    for bit in range(8):
        image[: height // 2, bit * width // 8 : (bit + 1) * width // 8] = 235 if number >> bit & 1 else 20
    image[height // 2 :, : width // 2] = (180, 60, 40)
    return image


def number_in(image: Image) -> int:
    """The number that an image of `numbered` tells, after any coding."""
    height, width = image.shape[:2]
    middles = [int(image[height // 4, (2 * bit + 1) * width // 16].mean()) > 128 for bit in range(8)]
    return sum(on << bit for bit, on in enumerate(middles))


def make_video(
    frames: int, form: str = "mpegts", *, width: int = WIDTH, height: int = HEIGHT, gop: int = 5, first: int = 0
) -> bytes:
    """A video of numbered frames, coded as cameras do: without frames that wait for later ones."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"tune": "zerolatency", "g": str(gop), "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(first, first + frames):
            frame = av.VideoFrame.from_ndarray(numbered(number % 256, width, height), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def numbers_of(path: Path) -> list[int]:
    """What a video shows, frame by frame; where it is cut off, what can be decoded."""
    numbers = []
    with av.open(str(path)) as container, contextlib.suppress(av.InvalidDataError):
        for frame in container.decode(video=0):
            numbers += [number_in(frame.to_ndarray(format="rgb24"))]
    return numbers


def paced(data: bytes, frames: int, size: int = 188) -> Iterator[bytes]:
    """A transport stream in packets, at the rate at which its frames were made."""
    packets = [data[at : at + size] for at in range(0, len(data), size)]
    begun, lasts = time.monotonic(), frames / RATE
    for number, packet in enumerate(packets):
        time.sleep(max(0.0, begun + number * lasts / len(packets) - time.monotonic()))
        yield packet


class Server(threading.Thread):
    """A camera in the net: listens on a port of this machine, and plays to each who comes what `videos` holds next."""

    def __init__(self, *videos: bytes, frames: int = 50) -> None:
        super().__init__(daemon=True)
        self.videos, self.frames = list(videos), frames
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.start()

    def run(self) -> None:
        while self.videos:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                try:
                    self.serve(connection)
                except OSError:
                    continue
        self.socket.close()

    def serve(self, connection: socket.socket) -> None:
        for packet in paced(self.videos.pop(0), self.frames):
            connection.sendall(packet)

    def close(self) -> None:
        self.socket.close()


class RtspServer(Server):
    """As much of RTSP as a camera needs: it describes a transport stream, and sends it as RTP in the connection."""

    def serve(self, connection: socket.socket) -> None:
        requests = connection.makefile("rb")
        while True:
            lines = []
            while (line := requests.readline().decode().strip()) or not lines:
                if not line:
                    return
                lines.append(line)
            verb = lines[0].split()[0]
            sequence = next(line for line in lines if line.lower().startswith("cseq"))
            answer, body = ["RTSP/1.0 200 OK", sequence], ""
            if verb == "OPTIONS":
                answer.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
            elif verb == "DESCRIBE":
                body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                body += "m=video 0 RTP/AVP 33\r\na=control:track\r\n"
                answer += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
            elif verb == "SETUP":
                answer += ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"]
            connection.sendall(("\r\n".join(answer) + "\r\n\r\n" + body).encode())
            if verb == "PLAY":
                break
        for number, packet in enumerate(paced(self.videos.pop(0), self.frames)):
            stamp = int(time.monotonic() * 90000) & 0xFFFFFFFF
            rtp = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, stamp, 1) + packet
            connection.sendall(struct.pack(">cBH", b"$", 0, len(rtp)) + rtp)
