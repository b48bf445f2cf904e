"""SlowFast-R50 under pytorchvideo's names."""

import hashlib
import json

import pytest
import torch

from vqa_lib.models.slowfast import SlowFast, load_slowfast, slow_places

# Of pytorchvideo 0.1.5's `create_slowfast()` without its head: all names and shapes in order, and, with weights of one
# seed in both, equal features for 6, 8 and 12 frames (measured once; the library does not install beside ours).
PUBLISHED = "9b05f46cedbc27fb"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    torch.manual_seed(0)
    model = SlowFast()
    head = {"blocks.6.proj.weight": torch.zeros(400, 2304), "blocks.6.proj.bias": torch.zeros(400)}
    path = tmp_path_factory.mktemp("published") / "SLOWFAST_8x8_R50.pyth"
    torch.save({"model_state": model.state_dict() | head}, path)
    return path, model.eval()


def test_weights_have_the_published_names_and_shapes(published):
    named = [(name, tuple(weight.shape)) for name, weight in published[1].state_dict().items()]
    assert hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16] == PUBLISHED
    assert published[1].features == 2304


def test_the_published_file_loads_frozen_and_without_its_head(published):
    path, model = published
    loaded = load_slowfast(path)
    frames = torch.rand(1, 6, 3, 64, 64)
    assert torch.equal(loaded(frames, slow_places(6)), model(frames, slow_places(6)))
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())


def test_other_files_are_refused(tmp_path, published):
    (tmp_path / "text.pyth").write_text("no weights")
    torch.save({"weights": {}}, tmp_path / "other.pyth")
    torch.save({"model_state": {"blocks.0.conv.weight": torch.zeros(1)}}, tmp_path / "names.pyth")
    for name in ("text.pyth", "other.pyth", "names.pyth", "missing.pyth"):
        with pytest.raises(ValueError, match=rf"{name}: expected pytorchvideo's SLOWFAST_8x8_R50\.pyth"):
            load_slowfast(tmp_path / name)


@pytest.mark.parametrize("count", range(1, 40))
def test_any_number_of_frames_has_slow_places_that_fit(count):
    places = slow_places(count)
    assert places == sorted(set(places)) and places[0] == 0 and places[-1] < count
    tiny = SlowFast(8, (1, 1, 1, 1)).eval()
    assert tiny(torch.zeros(1, count, 3, 32, 32), places).shape == (1, tiny.features)


def test_the_papers_frames():
    assert slow_places(6) == [0, 3]  # chunks of three
    assert slow_places(12) == [0, 4, 8]  # of four, as the authors' code at inference


def test_the_order_of_frames_counts():
    torch.manual_seed(0)
    tiny = SlowFast(8, (1, 1, 1, 1)).eval()
    frames = torch.rand(2, 6, 3, 32, 32)
    features, reversed_features = tiny(frames, slow_places(6)), tiny(frames.flip(1), slow_places(6))
    assert not torch.allclose(features, reversed_features, rtol=1e-3)
    torch.testing.assert_close(tiny(frames[:1], slow_places(6)), features[:1])


def test_shapes_that_are_none():
    with pytest.raises(ValueError, match="width must be a multiple of 8, got 12"):
        SlowFast(12)
    with pytest.raises(ValueError, match=r"depths must be four numbers of blocks, got \[3, 4, 6\]"):
        SlowFast(8, [3, 4, 6])
    with pytest.raises(ValueError, match="expected at least one frame, got 0"):
        slow_places(0)
