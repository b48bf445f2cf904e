"""Weights published as subfolders of one repository, as those of Q-Insight and VQ-Insight are."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from vqa_lib.answers import parse_choice, parse_dimensions, parse_score
from vqa_lib.cli import app
from vqa_lib.comparing import compare_with
from vqa_lib.models import loading
from vqa_lib.models.loading import ModelError, load_model, name_parts
from vqa_lib.prompts import PROMPTS
from vqa_lib.records import Pair
from vqa_lib.scoring import score_with
from vqa_lib.video import FramePolicy

POLICY = FramePolicy(count=4)


@pytest.fixture(scope="module")
def repository(answering_folder, tiny_folder, tmp_path_factory):
    """A folder laid out as the hub repository: a model a subfolder, one without a processor, and one of other files."""
    folder = tmp_path_factory.mktemp("hub") / "weights@home"
    shutil.copytree(answering_folder, folder / "vqinsight-naturalvideo")
    shutil.copytree(tiny_folder, folder / "vqinsight-comp")
    shutil.copytree(tiny_folder, folder / "score" / "bare")
    for file in (folder / "score" / "bare").iterdir():
        if file.name not in ("config.json", "generation_config.json", "model.safetensors"):
            file.unlink()
    (folder / "RALI").mkdir()
    (folder / "RALI" / "notes.json").write_text("{}")
    (folder / "README.md").write_text("Weights.")
    return folder


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", ("Qwen/Qwen2.5-VL-7B-Instruct", "", None)),
        ("ByteDance/Q-Insight//vqinsight-comp", ("ByteDance/Q-Insight", "vqinsight-comp", None)),
        ("ByteDance/Q-Insight//vqinsight-comp@abc", ("ByteDance/Q-Insight", "vqinsight-comp", "abc")),
        ("ByteDance/Q-Insight//a/b/@v1", ("ByteDance/Q-Insight", "a/b", "v1")),
        (Path("results/model"), ("results/model", "", None)),
    ],
)
def test_a_name_and_its_parts(name, parts):
    assert name_parts(name) == parts


def test_a_subfolder_is_its_own_model(repository, answering_folder):
    model, processor = load_model(f"{repository}//vqinsight-naturalvideo")
    plain, _ = load_model(answering_folder)
    assert processor.tokenizer.padding_side == "left"
    for name, value in plain.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


def test_it_scores_and_compares(repository, videos, frame_cache, tmp_path):
    clips = videos[:2]
    scored = score_with(
        f"{repository}//vqinsight-naturalvideo",
        clips,
        "vq_insight/official_natural",
        POLICY,
        frame_cache,
        tmp_path / "scores.jsonl",
        max_completion=20,
    )
    assert list(scored["name"]) == [clip.name for clip in clips]
    pair = Pair("1", clips[0].path, clips[1].path, "video", "first", "genai_bench", "test", "a red ball")
    name = f"{repository}//vqinsight-comp"
    compared = compare_with(
        name,
        [pair],
        "vq_insight/official_comparison",
        POLICY,
        frame_cache,
        tmp_path / "pairs.jsonl",
        max_completion=8,
    )
    assert len(compared) == 1
    settings = json.loads((tmp_path / "pairs.settings.json").read_text())
    assert settings["model"] != name  # a local folder is known by its weights


def test_the_command_takes_it(repository, videos):
    arguments = ["score", str(videos[0].path), "--model", f"{repository}//vqinsight-naturalvideo", "--frames", "4"]
    result = CliRunner().invoke(app, [*arguments, "--max-completion", "28"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("score: ")


def test_a_subfolder_that_is_missing_names_those_that_are_there(repository):
    with pytest.raises(ModelError) as error:
        load_model(f"{repository}//vqinsight-video")
    there = "score/bare, vqinsight-comp, vqinsight-naturalvideo"
    assert str(error.value) == f"{repository}//vqinsight-video: no such subfolder with a model; there are: {there}"


class TestProcessor:
    def test_of_the_base(self, monkeypatch, repository, tiny_folder):
        monkeypatch.setitem(loading.BASE_PROCESSORS, "qwen2_5_vl", str(tiny_folder))
        model, processor = load_model(f"{repository}//score/bare")
        assert type(processor).__name__ == "Qwen2_5_VLProcessor"
        assert model.config.model_type == "qwen2_5_vl"

    def test_of_a_base_that_is_not_at_hand(self, repository):
        message = "has no processor, and that of its base Qwen/Qwen2.5-VL-7B-Instruct cannot be loaded"
        with pytest.raises(ModelError, match=message):
            load_model(f"{repository}//score/bare")

    def test_of_a_base_that_nobody_knows(self, monkeypatch, repository):
        monkeypatch.delitem(loading.BASE_PROCESSORS, "qwen2_5_vl")
        with pytest.raises(ModelError, match="has no processor, and no base is known for a model of type 'qwen2_5_vl'"):
            load_model(f"{repository}//score/bare")


class TestHub:
    """What is asked of the hub, and what is said when it does not answer; nothing is downloaded here."""

    @pytest.fixture
    def asked(self, monkeypatch, repository):
        calls = []

        def listed(name, revision):
            calls.append((name, revision))
            return [str(file.relative_to(repository)) for file in repository.rglob("*") if file.is_file()]

        def downloaded(name, revision, allow_patterns):
            calls.append((name, revision, allow_patterns[0]))
            return str(repository)

        monkeypatch.setattr(loading, "list_repo_files", listed)
        monkeypatch.setattr(loading, "snapshot_download", downloaded)
        return calls

    def test_one_subfolder_of_one_revision(self, asked):
        load_model("ByteDance/Q-Insight//vqinsight-comp@abc")
        assert asked == [("ByteDance/Q-Insight", "abc"), ("ByteDance/Q-Insight", "abc", "vqinsight-comp/*.json")]

    def test_a_subfolder_that_is_missing(self, asked):
        with pytest.raises(ModelError, match="no such subfolder with a model; there are: score/bare, vqinsight-comp"):
            load_model("ByteDance/Q-Insight//vqinsight")

    def test_two_revisions(self, asked):
        with pytest.raises(ModelError, match="names the revision 'abc', but revision='def' is given too"):
            load_model("ByteDance/Q-Insight//vqinsight-comp@abc", revision="def")

    def test_no_network(self):
        with pytest.raises(ModelError, match="ByteDance/Q-Insight//vqinsight-comp: cannot be read from the hub"):
            load_model("ByteDance/Q-Insight//vqinsight-comp")


def test_a_folder_has_no_revisions(repository):
    with pytest.raises(ModelError, match="a folder has no revisions"):
        load_model(f"{repository}//vqinsight-comp", revision="main")


class TestAnswers:
    """The forms in which the official weights answer, as the official demos show them."""

    @pytest.mark.parametrize("answer", ["67.25", " 67.25 ", "67.25/100"])
    def test_natural(self, answer):
        text = f"<think>blurry</think>\n<answer>{answer}</answer>"
        assert parse_score(text, PROMPTS["vq_insight/official_natural"].scale) == 67.25

    @pytest.mark.parametrize("braces", ["{%s}", "%s", "\n{%s}\n"])
    def test_multi_dim(self, braces):
        prompt = PROMPTS["vq_insight/official_multi_dim"]
        body = braces % '"spatial": 40.48, "temporal": 32.63, "consistency": 56.33'
        scores = parse_dimensions(f"<think>a</think><answer>{body}</answer>", prompt.dimensions, prompt.scale)
        assert scores == {"spatial": 40.48, "temporal": 32.63, "consistency": 56.33}

    @pytest.mark.parametrize("answer", ["Video B", "'Video B'", "B", "video B."])
    def test_comparison(self, answer):
        prompt = PROMPTS["vq_insight/official_comparison"]
        assert parse_choice(f"<think>a</think> <answer>{answer}</answer>", prompt.choices) == "Video B"

    @pytest.mark.parametrize("answer", ['{"rating": 3.42}', '\n{"rating": 3.42}\n', '{"rating": "3.42"}', "3.42"])
    def test_score(self, answer):
        text = f"<think>\na\n</think>\n<answer>{answer}</answer>"
        assert parse_score(text, PROMPTS["q_insight/official_score"].scale) == 3.42
