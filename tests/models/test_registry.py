import json
from pathlib import Path

import pytest
import torch

from separate.models import registry
from separate.models.errors import CheckpointError
from separate.models.query_unet import QueryUNet
from separate.models.registry import Card

CONFIG = {"query_dim": 8, "film_dim": 16, "music_widths": [4, 4, 4, 4, 4, 8]}
CARD = Card(
    name="tiny", kind="query-unet", summary="A test.", config=CONFIG, licence="CC0-1.0", seed=1
)


@pytest.fixture(scope="module")
def net() -> QueryUNet:
    return registry.build("query-unet", CONFIG).eval()


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 0), ("float16", 2e-4), ("int8", 2e-3)]
)
def test_saved_weights_come_back(
    tmp_path: Path, net: QueryUNet, precision: str, tolerance: float
) -> None:
    path = tmp_path / "tiny.safetensors"
    card = registry.save(net, CARD, path, precision=precision)
    loaded, read = registry.load(path)
    assert read == card and len(card.sha256) == 64 and card.parameters > 0
    for name, value in net.state_dict().items():
        got = loaded.state_dict()[name]
        assert got.dtype == value.dtype
        assert (got - value).abs().max() <= tolerance, name
    assert not any(p.requires_grad for p in loaded.parameters()) and not loaded.training


def test_listing_reads_cards_alone(tmp_path: Path, net: QueryUNet) -> None:
    registry.save(net, CARD, tmp_path / "tiny.safetensors", precision="float16")
    (tmp_path / "tiny.safetensors").write_bytes(b"")
    (tmp_path / "broken.json").write_text("{")
    assert [c.name for c, _ in registry.list_cards([tmp_path]) if c.name == "tiny"] == ["tiny"]


def test_find_by_name_and_path(tmp_path: Path, net: QueryUNet) -> None:
    path = tmp_path / "tiny.safetensors"
    registry.save(net, CARD, path, precision="float16")
    assert registry.find("tiny", [tmp_path]) == path
    assert registry.find(str(path)) == path
    with pytest.raises(CheckpointError, match="no model 'tiny'"):
        registry.find("tiny")
    with pytest.raises(CheckpointError, match="no such file"):
        registry.find(str(tmp_path / "other.safetensors"))


def test_weights_remember_what_they_were_built_with(tmp_path: Path, net: QueryUNet) -> None:
    path = tmp_path / "tiny.safetensors"
    registry.save(net, CARD, path, precision="float16")
    card, whole = path.with_suffix(".json"), path.read_bytes()
    text = card.read_text()
    card.write_text(text.replace('"query_dim": 8,', '"query_dim": 8, "music_level": -20.0,'))
    with pytest.raises(CheckpointError, match="another configuration"):
        registry.load(path)
    card.write_text(text)
    path.write_bytes(whole.replace(b'"config"', b'"bonfig"', 1))
    with pytest.raises(CheckpointError, match="another configuration"):
        registry.load(path)


def test_keys_of_old_cards_are_ignored(net: QueryUNet) -> None:
    old = {**CONFIG, "last_channels": 4, "window_share": 0.2}
    assert registry.build("query-unet", old).config == net.config  # type: ignore[comparison-overlap]
    with pytest.raises(CheckpointError, match="no longer supported; train again"):
        registry.build("query-unet", {**old, "music_widths": []})


def test_damage_is_one_line(tmp_path: Path, net: QueryUNet) -> None:
    path = tmp_path / "tiny.safetensors"
    registry.save(net, CARD, path, precision="float16")
    whole, card = path.read_bytes(), path.with_suffix(".json").read_text()

    def refused(match: str) -> None:
        with pytest.raises(CheckpointError, match=match) as caught:
            registry.load(path)
        assert "\n" not in str(caught.value)

    path.write_bytes(whole[:1000])
    refused("not a readable")
    torch.save(net.state_dict(), path)  # a pickle under our ending
    refused("not a readable")
    path.write_bytes(whole)
    for change, match in (
        ({"config": {**CONFIG, "film_dim": 32}}, "do not fit"),
        ({"config": {"colour": 3}}, "configuration"),
        ({"kind": "teapot"}, "unknown kind"),
    ):
        path.with_suffix(".json").write_text(json.dumps({**json.loads(card), **change}))
        refused(match)
    path.with_suffix(".json").unlink()
    refused("card is missing")


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path: Path, net: QueryUNet) -> None:
    path = tmp_path / "tiny.safetensors"
    registry.save(net, CARD, path, precision="float32")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # the last number of the last tensor
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="differs from its card"):
        registry.load(path)
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**card, "sha256": ""}))
    registry.load(path)  # a card without a hash describes any weights
