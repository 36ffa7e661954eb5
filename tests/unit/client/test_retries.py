import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from dbd_ray.client import FocusClient, FocusRequestError

SOON_S = 0.001


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_fails_in_passing_is_sent_again_under_the_same_request_id(
    server: Any, client: FocusClient, status: int
) -> None:
    server.says(server.refusal(status, "whatever"), server.plain(status, "no more room"), server.ok())
    assert client.focus(b"a photo").width == 640
    assert len(server.requests) == 3
    assert len({asked.headers["x-request-id"] for asked in server.requests}) == 1
    assert {asked.body for asked in server.requests} == {b"a photo"}


def test_requests_have_ids_of_their_own(server: Any, client: FocusClient) -> None:
    server.says(server.ok(), server.ok())
    client.focus(b"a photo")
    client.focus(b"a photo")
    assert len({asked.headers["x-request-id"] for asked in server.requests}) == 2


def test_a_lost_connection_is_tried_again(server: Any, client: FocusClient) -> None:
    server.says(server.hang_up(), server.ok())
    assert client.focus(b"a photo").width == 640
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 406, 413, 415, 422])
def test_a_refused_request_is_not_sent_again(server: Any, client: FocusClient, status: int) -> None:
    server.says(server.refusal(status, "invalid_parameter"))
    with pytest.raises(FocusRequestError, match=r"because of invalid_parameter \[invalid_parameter, request") as caught:
        client.focus(b"a photo")
    error = caught.value
    assert (error.reason, error.message, error.status) == ("invalid_parameter", "because of invalid_parameter", status)
    assert error.request_id == server.requests[0].headers["x-request-id"]
    assert len(server.requests) == 1


def test_after_the_last_attempt_the_last_error_is_raised(server: Any) -> None:
    server.says(server.refusal(503, "model_unavailable"), server.plain(500, "Internal Server Error"))
    with (
        FocusClient(server.url, attempts=2, backoff_s=SOON_S) as client,
        pytest.raises(FocusRequestError, match="answered 500: Internal Server Error") as caught,
    ):
        client.focus(b"a photo")
    assert (caught.value.reason, caught.value.status, len(server.requests)) == ("internal", 500, 2)


def test_retry_after_is_waited_for(server: Any, client: FocusClient) -> None:
    server.says(server.refusal(429, "busy", retry_after="0.2"), server.ok())
    client.focus(b"a photo")
    first, second = server.requests
    assert second.at - first.at >= 0.2


def test_retry_after_may_be_a_date_and_nonsense_is_no_wait(server: Any, client: FocusClient) -> None:
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)
    server.says(server.refusal(503, "model_unavailable", retry_after=past))
    server.says(server.refusal(503, "model_unavailable", retry_after="soon"), server.ok())
    assert client.focus(b"a photo").width == 640


def test_who_is_told_to_wait_for_very_long_hears_of_it_at_once(server: Any, client: FocusClient) -> None:
    server.says(server.refusal(429, "busy", retry_after="3600"))
    with pytest.raises(FocusRequestError) as caught:
        client.focus(b"a photo")
    assert (caught.value.retry_after_s, len(server.requests)) == (3600.0, 1)


def test_a_plain_text_answer_of_rays_proxy_has_a_reason_too(server: Any) -> None:
    server.says(server.plain(503, "Request dropped due to backpressure\n(num_queued_requests=3)"))
    server.says(server.plain(418, ""))
    with FocusClient(server.url, attempts=1) as client:
        with pytest.raises(FocusRequestError, match=r"backpressure \(num_queued_requests=3\)") as caught:
            client.focus(b"a photo")
        assert (caught.value.reason, caught.value.status) == ("model_unavailable", 503)
        with pytest.raises(FocusRequestError, match="answered 418: an empty body") as caught:
            client.focus(b"a photo")
        assert caught.value.reason == "http_418"


def test_a_refused_connection_names_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer there
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with FocusClient(url, attempts=2, backoff_s=SOON_S) as client:
            with pytest.raises(FocusRequestError, match=rf"{url} does not answer .* is the endpoint running") as caught:
                client.focus(b"a photo")
            assert (caught.value.reason, caught.value.status) == ("unreachable", None)
            assert not client.ready()


def test_silence_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, and nobody reads
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            FocusClient(url, attempts=2, backoff_s=SOON_S, timeout_s=0.05) as client,
            pytest.raises(FocusRequestError, match="did not answer in time") as caught,
        ):
            client.focus(b"a photo")
        assert caught.value.reason == "timeout"
