from pathlib import Path
from typing import Any

import pytest

from dbd_ray.client import FocusAnswer, FocusClient, FocusError, FocusRequestError


def test_one_bad_photo_of_a_batch_harms_only_itself(server: Any, client: FocusClient, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes(b"not a photo")
    server.says(server.ok(server.model))
    server.says(server.results(server.answer, ("not_an_image", "no format"), server.answer))
    found = client.batch([b"a", tmp_path / "note.txt", tmp_path / "gone.jpg", b"b"], include=["focus"])
    assert [type(one) for one in found] == [FocusAnswer, FocusError, FocusError, FocusAnswer]
    assert found[1] == FocusError("note.txt", "not_an_image", "no format")
    assert isinstance(found[2], FocusError)
    assert (found[2].name, found[2].reason) == ("gone.jpg", "unreadable")
    asked = server.requests[1]
    assert (asked.path, asked.query) == ("/v1/batch", [("include", "focus")])
    assert asked.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert asked.body.count(b'name="photos"') == 3
    assert b'filename="note.txt"' in asked.body


def test_a_batch_is_sent_in_groups_that_the_endpoint_takes(server: Any, client: FocusClient) -> None:
    server.says(server.ok(server.model), server.results(*[server.answer] * 4))
    server.says(server.results(("truncated", "cut off")))
    found = client.batch(iter([b"a"] * 5))
    assert [asked.body.count(b'name="photos"') for asked in server.requests] == [0, 4, 1]
    assert found[4] == FocusError("photo-4", "truncated", "cut off")


def test_a_group_that_is_too_large_together_is_halved(server: Any, client: FocusClient) -> None:
    too_many = server.refusal(413, "too_many_bytes")
    server.says(server.ok(server.model), too_many, server.results(server.answer, server.answer))
    server.says(too_many, too_many, server.results(server.answer))
    found = client.batch([b"a", b"b", b"huge", b"d"])
    assert [type(one) for one in found] == [FocusAnswer, FocusAnswer, FocusError, FocusAnswer]
    assert found[2] == FocusError("photo-2", "too_many_bytes", "because of too_many_bytes")


def test_a_photo_of_a_batch_that_failed_in_passing_is_asked_for_again(server: Any, client: FocusClient) -> None:
    server.says(server.ok(server.model), server.results(server.answer, ("internal", "lost"), ("busy", "full")))
    server.says(server.ok(), server.refusal(503, "model_unavailable"), server.refusal(400, "truncated"))
    found = client.batch([b"a", b"b", b"c"])
    assert found[1] == found[0]
    assert found[2] == FocusError("photo-2", "truncated", "because of truncated")
    assert [asked.body for asked in server.requests[2:]] == [b"b", b"c", b"c"]


def test_a_batch_that_was_refused_as_a_whole_is_an_error(server: Any, client: FocusClient) -> None:
    server.says(server.ok(server.model), server.refusal(401, "unauthorized"))
    with pytest.raises(FocusRequestError, match="unauthorized"):
        client.batch([b"a", b"b"])


def test_answers_that_are_fewer_than_the_photos_are_not_taken(server: Any, client: FocusClient) -> None:
    server.says(server.ok(server.model), server.results(server.answer))
    with pytest.raises(FocusRequestError, match="is base_url right"):
        client.batch([b"a", b"b"])


def test_a_batch_of_nothing_is_nothing(server: Any, client: FocusClient, tmp_path: Path) -> None:
    server.says(server.ok(server.model), server.ok(server.model))
    assert client.batch([]) == []
    assert [type(one) for one in client.batch([tmp_path / "gone.jpg"])] == [FocusError]
    assert {asked.path for asked in server.requests} == {"/v1/model"}
