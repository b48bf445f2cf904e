"""Shared by all tests: a miniature of every data set, a tiny model, and clips encoded for it. All made from seeds."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Before any import of torch or a Hugging Face library: they read these once. Nothing may be downloaded, no thread may
# be forked, and no process waits for a compiler that tiny runs do not use either (`run_notebook.environment`).
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["TORCHDYNAMO_DISABLE"] = "1"
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # numbers are compared closely; a GPU rounds differently

import numpy as np
import pytest
import torch
from warm_python import write_client

from vqa_lib.datasets import load_clips
from vqa_lib.frame_cache import FrameCache
from vqa_lib.miniature import MINIATURES, QUICKSTART, write_miniature
from vqa_lib.models.families import encode
from vqa_lib.models.loading import load_model
from vqa_lib.models.starter import tokenizer_texts
from vqa_lib.models.tiny import build_tiny_qwen
from vqa_lib.models.tiny_internvl import build_tiny_internvl
from vqa_lib.prompts import PROMPTS
from vqa_lib.run_notebook import environment
from vqa_lib.training.supervised import train_to_answer
from vqa_lib.video import FramePolicy, Frames

torch.set_num_threads(1)  # the model is too small to share out, and one thread sums in one order


@pytest.fixture(scope="module")
def warm_python():
    """Notebooks fork from one process that has imported everything; see warm_python.py. Linux; elsewhere nothing."""
    if sys.platform != "linux":
        yield
        return
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        address, script = Path(folder) / "socket", Path(folder) / "python"
        command = [sys.executable, str(Path(__file__).with_name("warm_python.py")), str(address)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment("tiny")) as server:
            while not address.exists():
                assert server.poll() is None, "the process that notebooks are to fork from has ended"
                time.sleep(0.1)
            write_client(script, address)
            patch.setattr("vqa_lib.run_notebook.PYTHON", str(script))
            yield  # leaving the block closes the standard input whose end ends the server


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """A folder with a small miniature of every data set; tests read it and write elsewhere."""
    folder = tmp_path_factory.mktemp("miniature")
    write_miniature(folder, scale=0.03, seed=0, workers=2)
    return folder


@pytest.fixture(scope="session")
def whole_world(tmp_path_factory, miniature):
    """A folder with a miniature of every data set; those of the quickstart are the small ones of `miniature`."""
    folder = tmp_path_factory.mktemp("world")
    write_miniature(folder, seed=0, workers=2, names=[name for name in MINIATURES if name not in QUICKSTART])
    for name in QUICKSTART:
        shutil.copytree(miniature / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder with a tiny random Qwen2.5-VL in Hugging Face format."""
    folder = tmp_path_factory.mktemp("tiny")
    build_tiny_qwen(folder, tokenizer_texts(), hidden=64, layers=2)
    return folder


@pytest.fixture(scope="session")
def tiny_motion_folder(tmp_path_factory):
    """A folder with a tiny random InternVL that has VQAThinker's motion branch."""
    folder = tmp_path_factory.mktemp("tiny_motion")
    build_tiny_internvl(folder, tokenizer_texts(), hidden=64, layers=2, motion="mean")
    return folder


@pytest.fixture(scope="session")
def tiny_internvl_folder(tmp_path_factory):
    """A folder with a tiny random InternVL in Hugging Face format."""
    folder = tmp_path_factory.mktemp("tiny_internvl")
    build_tiny_internvl(folder, tokenizer_texts(), hidden=64, layers=2)
    return folder


@pytest.fixture
def tiny(tiny_folder):
    """The tiny model, loaded anew, and its processor: a test may change the weights."""
    model, processor = load_model(tiny_folder)
    return model.eval(), processor


@pytest.fixture(scope="session")
def answering_folder(tmp_path_factory, tiny_folder, videos, images, frame_cache):
    """The tiny model after seconds of supervised training: most answers have the format, lengths and scores vary.

    A random model earns no reward whatever it says, so GRPO would have nothing to learn from.
    """
    model, processor = load_model(tiny_folder)
    policy = FramePolicy(count=4)
    questions = {"image": PROMPTS["vq_insight/image"].text, "video": PROMPTS["vq_insight/natural"].text}
    prompts = [
        encode(processor, [(frame_cache.get(clip.path, clip.kind, policy), clip.kind)], questions[clip.kind])
        for clip in [*videos[:4], *images[:4]]
    ]

    def respond(index: int, random: np.random.Generator) -> str:
        mild = "mild " * int(random.integers(0, 4))
        return f"<think> {mild}blur </think> <answer> {random.uniform(0, 100):.0f} </answer>"

    train_to_answer(model, processor.tokenizer, prompts, respond, steps=70, size=8, peak=5e-3)
    folder = tmp_path_factory.mktemp("answering")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def frame_cache(tmp_path_factory):
    return FrameCache(tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="session")
def videos(miniature):
    return load_clips("lsvq", miniature / "lsvq", "train")


@pytest.fixture(scope="session")
def images(miniature):
    return load_clips("koniq", miniature / "koniq", "training")


@pytest.fixture(scope="session")
def encoded(miniature, tiny_folder, videos, images, frame_cache):
    """An image, a video of 8 frames and one of 6, with questions of unequal length: every batch of them is ragged."""
    _, processor = load_model(tiny_folder)
    wanted = [
        (images[0], FramePolicy(count=1), "Rate the image."),
        (videos[0], FramePolicy(count=8), "Rate the quality of the video from 0 to 100."),
        (videos[1], FramePolicy(count=6), "Rate it."),
    ]
    return [
        encode(processor, [(frame_cache.get(clip.path, clip.kind, policy), clip.kind)], text)
        for clip, policy, text in wanted
    ]


@pytest.fixture(scope="session")
def make_frames():
    """A function that makes random frames, sampled from a clip of `total` frames at `fps`."""

    def make(count: int, total: int = 60, fps: float = 30.0, height: int = 56, width: int = 84) -> Frames:
        indices = np.linspace(0, total - 1, count).round().astype(np.int64)
        pixels = np.random.default_rng(count).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
        return Frames(pixels, indices, total, fps, indices / fps)

    return make


# Whole files go to a worker in this order: a long one that is begun last keeps one worker busy and the other idle.
LONGEST = ("test_notebooks", "test_processes", "test_table_notebooks", "test_workflow", "test_benchmark", "test_united")


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))
