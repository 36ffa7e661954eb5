import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dbd_ray.checkpoints.card import Card, make_card
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint, staged_names
from dbd_ray.checkpoints.find import find_checkpoint
from dbd_ray.config import NetworkConfig
from dbd_ray.errors import CheckpointError
from dbd_ray.models import FocusNetwork, build_network

CONFIG = NetworkConfig(backbone="mobilenetv3_small_050", srfb="none", reduction=16)


def _network(seed: int = 0) -> FocusNetwork:
    torch.manual_seed(seed)
    return build_network(CONFIG)


def _save(folder: Path, seed: int = 0) -> Card:
    network = _network(seed)
    card = make_card(
        network,
        CONFIG,
        name=f"seed-{seed}",
        input_size=(64, 96),
        metrics={"mae": 0.05},
        provenance={"dataset": {"fingerprint": "abc"}, "epochs": 3},
    )
    return save_checkpoint(folder, network, card)


def _edit_card(folder: Path, **fields: Any) -> None:
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _fingerprint(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    _save(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    card = _save(tmp_path / "new" / "folder")
    network, loaded = load_checkpoint(str(tmp_path / "new" / "folder"))
    assert loaded == card
    assert not network.training
    assert loaded.parameters == sum(parameter.numel() for parameter in _network().parameters())
    expected = _network().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["card.json", "model.safetensors"]


def test_equal_weights_have_equal_fingerprints(tmp_path: Path) -> None:
    first, second, other = _save(tmp_path / "a"), _save(tmp_path / "b"), _save(tmp_path / "c", seed=1)
    assert first.fingerprint == second.fingerprint != other.fingerprint


def test_the_card_asks_for_no_weights_from_elsewhere(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"backbone_weights": "somewhere.safetensors"})
    card = make_card(_network(), config, name="trained", input_size=(64, 64))
    assert card.network == CONFIG


def test_loading_leaves_the_random_numbers_alone(saved: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_checkpoint(saved)
    assert torch.equal(torch.rand(3), expected)


def test_saving_again_replaces_the_checkpoint_and_leaves_other_files(saved: Path) -> None:
    (saved / "state.bin").write_bytes(b"mine")
    _save(saved, seed=1)
    assert load_checkpoint(saved)[1].name == "seed-1"
    assert (saved / "state.bin").read_bytes() == b"mine"


class _Killed(BaseException):
    pass


def _save_killed_at(moment: int, folder: Path, seed: int) -> bool:
    """Save, but die in the file operation number `moment`, a writing one half-way; False if there are fewer."""
    steps = 0

    def dying(step: Callable[..., Any], *, writes: bool) -> Callable[..., Any]:
        def run(path: Path, *args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps != moment + 1:
                return step(path, *args, **kwargs)
            if writes:
                step(path, args[0][: len(args[0]) // 2], **kwargs)
            raise _Killed

        return run

    with pytest.MonkeyPatch.context() as patch:
        for name in ("write_bytes", "write_text", "replace", "unlink"):
            patch.setattr(Path, name, dying(getattr(Path, name), writes=name.startswith("write")))
        try:
            _save(folder, seed)
        except _Killed:
            return True
    return False


@pytest.mark.parametrize("first", range(5))
def test_two_crashes_while_saving_leave_the_last_complete_checkpoint_or_the_new(first: int, tmp_path: Path) -> None:
    _save(tmp_path / "once")
    if not _save_killed_at(first, tmp_path / "once", seed=1):
        assert first == 4, "only one file is cleared away, and that by a second save"
    after_first = load_checkpoint(tmp_path / "once")[1].name
    assert after_first == ("seed-0" if first < 3 else "seed-1")
    for second in itertools.count():
        folder = shutil.copytree(tmp_path / "once", tmp_path / f"then {second}")
        killed = _save_killed_at(second, folder, seed=2)
        network, card = load_checkpoint(folder)
        assert card.name == (after_first if second < 3 else "seed-2")
        expected = _network(int(card.name[-1])).state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())
        _save(folder, seed=3)
        assert load_checkpoint(folder)[1].name == "seed-3"
        assert sorted(path.name for path in folder.iterdir()) == ["card.json", "model.safetensors"]
        if not killed:
            assert second >= 4
            break


def test_a_crash_while_saving_for_the_first_time_is_no_checkpoint(tmp_path: Path) -> None:
    _save(tmp_path)
    (tmp_path / "card.json").unlink()
    (tmp_path / "model.safetensors").rename(tmp_path / staged_names("model.safetensors")[0])
    with pytest.raises(CheckpointError, match=r"card\.json: is missing"):
        load_checkpoint(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent: no such folder"):
        load_checkpoint(tmp_path / "absent")


def test_missing_weights_are_named(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is missing"):
        load_checkpoint(saved)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_a_damaged_card_is_named(content: bytes, saved: Path) -> None:
    (saved / "card.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"card\.json: cannot be read as JSON"):
        load_checkpoint(saved)


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_an_unknown_format_version_is_refused(version: object, saved: Path) -> None:
    _edit_card(saved, format_version=version, field_of_the_future=1)
    with pytest.raises(CheckpointError, match=r"card\.json: format_version is .* reads 1"):
        load_checkpoint(saved)


def test_a_card_that_is_no_mapping_is_refused(saved: Path) -> None:
    (saved / "card.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="format_version is None"):
        load_checkpoint(saved)


def test_wrong_fields_of_a_card_are_all_named(saved: Path) -> None:
    _edit_card(saved, mean=[0.5], polarity="blur", surprise=1)
    with pytest.raises(CheckpointError, match=r"(?s)card\.json: .*mean.*polarity.*surprise"):
        load_checkpoint(saved)


def test_a_card_that_fetches_weights_from_elsewhere_is_refused(saved: Path) -> None:
    network = json.loads((saved / "card.json").read_text())["network"]
    _edit_card(saved, network=network | {"backbone_weights": "timm"})
    with pytest.raises(CheckpointError, match="backbone_weights must be null"):
        load_checkpoint(saved)


def test_a_card_of_an_unknown_network_is_refused(saved: Path) -> None:
    network = json.loads((saved / "card.json").read_text())["network"]
    _edit_card(saved, network=network | {"architecture": "unet"})
    with pytest.raises(CheckpointError, match=r"card\.json: the network cannot be built .*'unet' is unknown"):
        load_checkpoint(saved)


def test_one_flipped_bit_in_the_weights_is_noticed(saved: Path) -> None:
    weights = bytearray((saved / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (saved / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: its SHA-256 is not the fingerprint"):
        load_checkpoint(saved)


def test_weights_that_are_no_safetensors_are_refused(saved: Path) -> None:
    torch.save({"a": torch.zeros(1)}, saved / "model.safetensors")
    _edit_card(saved, fingerprint=_fingerprint(saved))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read as safetensors"):
        load_checkpoint(saved)


def test_weights_that_do_not_fit_the_network_are_listed(saved: Path) -> None:
    weights = load_file(saved / "model.safetensors")
    weights["stranger"] = weights.pop("focus_fusion.bias")
    weights["focus_fusion.weight"] = torch.zeros(1, 4, 1, 1)
    save_file(weights, saved / "model.safetensors")
    _edit_card(saved, fingerprint=_fingerprint(saved))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: 3 tensor\(s\) do not fit") as caught:
        load_checkpoint(saved)
    assert "missing: focus_fusion.bias" in str(caught.value)
    assert "unexpected: stranger" in str(caught.value)
    assert "focus_fusion.weight is (1, 4, 1, 1), needed (1, 5, 1, 1)" in str(caught.value)


def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    torch.save(_network().state_dict(), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"model\.pth: .*dbd-ray import"):
        load_checkpoint(tmp_path / "model.pth")


def test_a_remote_folder_is_refused_with_what_to_do() -> None:
    with pytest.raises(CheckpointError, match=r"s3://bucket/model: .*local folder"):
        load_checkpoint("s3://bucket/model")
    with pytest.raises(CheckpointError, match=r"s3://bucket/model: .*local folder"):
        save_checkpoint("s3://bucket/model", _network(), make_card(_network(), CONFIG, name="x", input_size=(64, 64)))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="file/checkpoint: cannot be written"):
        _save(tmp_path / "file" / "checkpoint")


def test_provenance_that_is_no_json_is_refused_before_anything_is_replaced(saved: Path) -> None:
    card = make_card(_network(1), CONFIG, name="new", input_size=(64, 64), provenance={"tool": object()})
    with pytest.raises(CheckpointError, match="plain JSON"):
        save_checkpoint(saved, _network(1), card)
    assert load_checkpoint(saved)[1].name == "seed-0"


def test_half_precision_halves_the_file_and_loads_as_float32(tmp_path: Path) -> None:
    network, card = _network(), _save(tmp_path / "full")
    save_checkpoint(tmp_path / "half", network, card, half=True)
    loaded, _ = load_checkpoint(tmp_path / "half")
    for name, tensor in network.state_dict().items():
        stored = loaded.state_dict()[name]
        assert stored.dtype == tensor.dtype
        exact = torch.equal(stored, tensor)
        assert exact if tensor.ndim < 2 else torch.allclose(stored, tensor, rtol=1e-3, atol=1e-6)
    sizes = [(tmp_path / kind / "model.safetensors").stat().st_size for kind in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]


@pytest.mark.parametrize("name", ["card.json", "model.safetensors"])
def test_files_of_another_program_are_not_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"name": "of another program"}')
    with pytest.raises(CheckpointError, match=f"holds {name} that are no checkpoint"):
        _save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert "another program" in (tmp_path / name).read_text()


def test_a_name_that_is_too_long_is_no_model() -> None:
    for find in (find_checkpoint, load_checkpoint):
        with pytest.raises(CheckpointError, match=r"neither a checkpoint folder|no such folder"):
            find("x" * 300)
