"""Gradio's application inside the studio: made in the background, and its pages taken apart for our own frame."""

import asyncio
import contextlib
import os
import re
import tempfile
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

import httpx
from fastapi import FastAPI

from calco.errors import CalcoError
from calco.web.blocks import labels, theme

PATH: Final = "/studio"
"""Where the pages of jobs are, and Gradio's own files."""


class Gradio:
    """Gradio's application, made in the background: its import takes seconds, and the first page needs none of it.

    Args:
        make: Returns the pages.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="calco-studio-", ignore_cleanup_errors=True)
        self._made: Future[Any] = Future()
        self._stack, self._lock, self._is_ready = contextlib.AsyncExitStack(), asyncio.Lock(), False
        self._thread = threading.Thread(target=self._work, args=(make,), name="calco-gradio", daemon=True)

    def start(self) -> None:
        """Begin, once, when somebody looks at the pages: programs that use the API alone do not need it."""
        if self._thread.ident is None:
            self._thread.start()

    def _work(self, make: Callable[[], Any]) -> None:
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # else it asks a server for its newest version
        os.environ["GRADIO_TEMP_DIR"] = self._folder.name
        try:
            # Within a running loop: without one Gradio makes some of its own, and leaves them open.
            self._made.set_result(asyncio.run(self._build(make)))
        except BaseException as error:
            self._made.set_exception(error)
            raise

    async def _build(self, make: Callable[[], Any]) -> Any:
        # Of Gradio itself: of modes that nobody asked for, of how it uses pydantic, of an ffmpeg that nobody needs. A
        # filter around the call is not safe beside threads.
        warnings.filterwarnings("ignore", module="(gradio|pydantic|pydub)[.]")
        import gradio as gr

        inner = FastAPI()
        gr.mount_gradio_app(
            inner, make(), path=PATH, theme=theme(), i18n=labels(), footer_links=[], run_history=False,
            show_error=False, enable_monitoring=False, ssr_mode=False, pwa=False, mcp_server=False,
        )  # fmt: skip
        return inner

    async def ready(self) -> Any:
        """Wait for the application, and start its own tasks, once."""
        self.start()
        inner = await asyncio.wrap_future(self._made)
        async with self._lock:
            if not self._is_ready:
                await self._stack.enter_async_context(inner.router.lifespan_context(inner))
                self._is_ready = True
        return inner.routes[-1].app

    async def page(self, name: str, base: str) -> tuple[str, str]:
        """Return the head and the body of a page.

        Args:
            name: Its last part.
            base: Where the studio is asked for, such as http://127.0.0.1:7860; Gradio writes it into the page.
        """
        transport = httpx.ASGITransport(app=await self.ready(), root_path=PATH)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            answer = await client.get(f"{PATH}/{name}")
        answer.raise_for_status()
        return parts_of(answer.text)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, as ASGI 3 has it."""
        await (await self.ready())(scope, receive, send)

    async def aclose(self) -> None:
        """End its tasks, and delete what was uploaded."""
        await self._stack.aclose()
        self._folder.cleanup()


def parts_of(html: str) -> tuple[str, str]:
    """Return the head and the body of a page of Gradio, without what describes the page or names other hosts."""
    head = re.search(r"<head[^>]*>(.*?)</head>", html, re.DOTALL)
    body = re.search(r"<body[^>]*>(.*)</body>", html, re.DOTALL)
    if head is None or body is None:
        raise CalcoError("this version of Gradio writes pages that are not known; install gradio 6")
    own = re.sub(r"<title>.*?</title>|<meta\b[^>]*>", "", head[1], flags=re.DOTALL)
    own = re.sub(r"<(?:link|script)\b[^>]*(?:href|src)=[\"']?(?:https?:)?//[^>]*>(?:\s*</script>)?", "", own)
    return own, body[1]
