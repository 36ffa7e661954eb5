import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from dbd_ray.client import AsyncFocusClient, FocusAnswer, FocusError, FocusRequestError

SOON_S = 0.001


def test_the_asynchronous_client_does_the_same(server: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"the file")
    server.says(server.refusal(429, "busy", retry_after="0.05"), server.ok(), server.png())
    server.says(server.ok(server.model), server.results(server.answer, ("not_an_image", "no format")))
    server.says(server.ok({"status": "ok"}), server.ok(server.model), server.refusal(422, "no_depth"))

    async def conversation() -> list[Any]:
        async with AsyncFocusClient(server.url, api_key="key", backoff_s=SOON_S) as client:
            said = [
                await client.focus(tmp_path / "a.jpg"),
                await client.picture(b"a photo"),
                await client.batch([b"a", b"b"]),
                await client.ready(),
                await client.model(),
            ]
            with pytest.raises(FocusRequestError, match="no_depth"):
                await client.focus(b"a photo", include=["depth"])
            return said

    answer, picture, batch, ready, model = asyncio.run(conversation())
    assert (answer.summary, picture, ready, model) == (server.summary, server.picture, True, server.model)
    assert [type(one) for one in batch] == [FocusAnswer, FocusError]
    first, second = server.requests[:2]
    assert first.headers["x-request-id"] == second.headers["x-request-id"]
    assert second.at - first.at >= 0.05
    assert {asked.headers["authorization"] for asked in server.requests} == {"Bearer key"}


def test_a_lost_connection_is_tried_again_and_a_dead_address_is_not_ready(server: Any) -> None:
    server.says(server.hang_up(), server.ok())

    async def conversation() -> FocusAnswer:
        async with AsyncFocusClient(server.url, backoff_s=SOON_S) as client:
            return await client.focus(b"a photo")

    assert asyncio.run(conversation()).width == 640
    server.close()

    async def ready() -> bool:
        async with AsyncFocusClient(server.url) as client:
            return await client.ready()

    assert not asyncio.run(ready())


def test_asynchronous_requests_go_out_together(server: Any) -> None:
    server.says(*(server.ok() for _ in range(8)))
    server.gate = threading.Barrier(8, timeout=30)

    async def all_at_once() -> list[FocusAnswer]:
        async with AsyncFocusClient(server.url) as client:
            return await asyncio.gather(*(client.focus(b"a photo") for _ in range(8)))

    assert len(asyncio.run(all_at_once())) == 8
