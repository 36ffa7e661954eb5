"""What `dbd-ray annotate --endpoint` sends for a batch of decoded photos, and what it makes of the answers."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dbd_ray.client import FocusRequestError
from dbd_ray.config import AnnotateConfig
from dbd_ray.errors import ConfigError, DbdRayError
from dbd_ray.images.decode import decode_photo
from dbd_ray.library.endpoint import EndpointPredictor, model_of
from dbd_ray.library.job import open_library
from dbd_ray.library.plan import RETRIED

MODEL = {"name": "lite", "fingerprint": "0123456789abcdef" * 4, "limits": {"max_photos": 4}}


def _batch(*errors: str) -> dict[str, np.ndarray]:
    images = np.empty(len(errors), object)
    images[:] = [np.full((20 + number, 30, 3), number, np.uint8) for number in range(len(errors))]
    return {"error": np.array(errors, object), "image": images, "path": np.arange(len(errors))}


def _predictor(server: Any) -> EndpointPredictor:
    return EndpointPredictor(server.url, api_key="a key of sixteen!", refine="guided", tile=2)


def test_photos_are_sent_as_they_were_decoded_and_bad_ones_not_at_all(server: Any) -> None:
    server.says(server.ok(MODEL), server.results(server.answer, ("too_many_pixels", "too large")))
    answered = _predictor(server)(_batch("", "cut off [truncated]", ""))
    assert answered["error"].tolist() == [None, "cut off [truncated]", "too large [too_many_pixels]"]
    assert answered["focus"].tolist() == [server.picture, b"", b""]
    assert answered["focus_kind"].tolist() == ["partial", "", ""]
    assert answered["sharp_right"].tolist() == [30, -1, -1]
    assert answered["focus_model"][0] == "lite@abc"
    assert answered["path"].tolist() == [0, 1, 2]
    asked = server.requests[1]
    assert asked.headers["authorization"] == "Bearer a key of sixteen!"
    assert sorted(asked.query) == [("include", "focus"), ("refine", "guided"), ("tile", "2")]
    sent = [b"\x89PNG" + part.partition(b"\r\n--")[0] for part in asked.body.split(b"\x89PNG")[1:]]
    assert [decode_photo(one).tolist() for one in sent] == [
        np.full((20 + number, 30, 3), number, np.uint8).tolist() for number in (0, 2)
    ]


def test_a_photo_that_a_busy_endpoint_did_not_answer_is_for_the_next_run(server: Any) -> None:
    predictor = _predictor(server)
    predictor.client._policy["wait"] = lambda state: 0
    server.says(server.ok(MODEL), server.results(server.answer, ("busy", "too much to do")))
    server.says(*[server.refusal(429, "busy")] * 5)
    errors = predictor(_batch("", ""))["error"].tolist()
    assert errors[0] is None
    assert errors[1].endswith("[busy]")
    assert {"busy", "timeout", "model_unavailable"} <= RETRIED


def test_an_endpoint_that_is_gone_ends_the_run(server: Any) -> None:
    predictor = _predictor(server)
    predictor.client._policy["wait"] = lambda state: 0
    server.says(server.ok(MODEL), *[server.hang_up()] * 5)
    with pytest.raises(FocusRequestError, match="unreachable"):
        predictor(_batch(""))


def test_its_model_is_asked_for_before_any_work(server: Any, tmp_path: Path) -> None:
    server.says(server.ok(MODEL))
    assert model_of(server.url) == "lite@0123456789abcdef"
    server.says(server.ok({"name": "something else"}))
    with pytest.raises(FocusRequestError, match=r"127\.0\.0\.1.*: is no endpoint of dbd-ray"):
        model_of(server.url)
    (tmp_path / "photos").mkdir()
    config = AnnotateConfig(source=str(tmp_path / "photos"), out=str(tmp_path / "out"), endpoint=server.url)
    server.says(server.refusal(401, "unauthorized"))
    with pytest.raises(DbdRayError, match="unauthorized"):
        open_library(config)
    assert not (tmp_path / "out").exists()


def test_the_key_comes_from_the_environment(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBD_RAY_API_KEY", "a key of sixteen!")
    (tmp_path / "photos").mkdir()
    server.says(server.ok(MODEL))
    library = open_library(
        AnnotateConfig(source=str(tmp_path / "photos"), out=str(tmp_path / "out"), endpoint=server.url)
    )
    assert library.model == "lite@0123456789abcdef"
    assert server.requests[0].headers["authorization"] == "Bearer a key of sixteen!"
    assert b"sixteen" not in pickle.dumps(library.run), "nothing that is recorded holds the key"


@pytest.mark.parametrize("settings", [{"model": "lite"}, {"gpus_per_actor": 1}, {"cpus_per_actor": 2}])
def test_settings_of_a_model_here_are_refused_beside_an_endpoint(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has no effect with an endpoint"):
        AnnotateConfig(source="a", out="b", endpoint="http://127.0.0.1:1", **settings)
    with pytest.raises(ConfigError, match="base_url"):
        model_of("127.0.0.1:8000")
    assert "DBD_RAY_API_KEY" not in os.environ
