"""SlowFast-R50 under pytorchvideo's names."""

import hashlib
import json

import pytest
import torch

from vqa_lib.models.slowfast import SlowFast, load_slowfast, pool, slow_places

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
    ours, theirs = loaded(frames, slow_places(6)), model(frames, slow_places(6))
    assert all(map(torch.equal, ours, theirs))
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
    frames = torch.rand(1, count, 3, 32, 32)
    maps = tiny(frames, places)
    whole, chunks = (pool(maps, places, way) for way in ("mean", "chunks"))
    assert whole.shape == (1, 1, tiny.features)
    assert chunks.shape == (1, len(places), tiny.features)
    if count % len(places) == 0:  # chunks of equal lengths
        torch.testing.assert_close(chunks.mean(1, keepdim=True), whole)


def test_the_papers_frames():
    assert slow_places(6) == [0, 3]  # chunks of three
    assert slow_places(12) == [0, 4, 8]  # of four, which is what fits
    assert (slow_places(6, "spread"), slow_places(12, "spread")) == ([0, 5], [0, 5, 11])  # the official code


def test_the_order_of_frames_counts():
    torch.manual_seed(0)
    tiny = SlowFast(8, (1, 1, 1, 1)).eval()
    frames, places = torch.rand(2, 6, 3, 32, 32), slow_places(6)
    features, turned, first = (pool(tiny(part, places), places) for part in (frames, frames.flip(1), frames[:1]))
    assert not torch.allclose(features, turned, rtol=1e-3)
    torch.testing.assert_close(first, features[:1])


@pytest.mark.parametrize(("frames", "slow", "repeats"), [(6, 2, 6), (12, 3, 4)])
def test_windows_are_those_of_the_official_code(frames, slow, repeats):
    maps = torch.rand(2, 5, slow, 14, 18), torch.rand(2, 3, frames, 14, 18)
    pooled = []
    for part, time in zip(maps, (8, 32), strict=True):
        windows = torch.nn.functional.avg_pool3d(part.repeat_interleave(repeats, 2), (time, 7, 7), 1)
        pooled.append(torch.nn.functional.adaptive_avg_pool3d(windows, 1).flatten(1))
    torch.testing.assert_close(pool(maps, [0] * slow, "windows")[:, 0], torch.cat(pooled, 1))


def test_shapes_that_are_none():
    with pytest.raises(ValueError, match="width must be a multiple of 8, got 12"):
        SlowFast(12)
    with pytest.raises(ValueError, match=r"depths must be four numbers of blocks, got \[3, 4, 6\]"):
        SlowFast(8, [3, 4, 6])
    with pytest.raises(ValueError, match="expected at least one frame, got 0"):
        slow_places(0)
    with pytest.raises(ValueError, match="the slow pathway's frames must be one of chunks, spread; got 'all'"):
        slow_places(6, "all")
    with pytest.raises(ValueError, match="motion pooling must be one of mean, windows, chunks; got 'max'"):
        pool((torch.zeros(1, 8, 2, 2, 2), torch.zeros(1, 1, 6, 2, 2)), [0, 3], "max")
