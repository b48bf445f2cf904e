"""The world of generated clips, and each of its data sets read back and compared with the truth that made it."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from generated_forms import FOLDERS

from vqa_lib.datasets import DATASETS, split_by_group
from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.loading import missing_files, read_dataset
from vqa_lib.datasets.videofeedback import DIMENSIONS
from vqa_lib.miniature import MINIATURES, write_miniature
from vqa_lib.miniature.distortions import FRAMES
from vqa_lib.miniature.entity_questions import entity_questions
from vqa_lib.miniature.finger import QUESTIONS
from vqa_lib.miniature.generated_clips import (
    BAD,
    BLOCK,
    GENERATORS,
    PARTS,
    SOURCES,
    TIE,
    draw_generated,
    draw_pairs,
    preference,
)
from vqa_lib.miniature.generated_prompts import COLOURS, DIRECTIONS, WorldPrompt, world_prompts
from vqa_lib.rewards import reason_format_reward
from vqa_lib.video import FramePolicy, read_video


@pytest.fixture(scope="module")
def clips():
    """The clips of four prompts by all generators."""
    return [draw_generated(SOURCES["generated_train"], 3, index) for index in range(2 * BLOCK)]


def read(folder, name: str) -> list:
    notes = Notes()
    records = read_dataset(name, folder / FOLDERS[name], notes)
    assert notes.files  # check-data says what was read
    return records


def truth_of(folder, name: str) -> dict[str, dict]:
    lines = (folder / FOLDERS[name] / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    facts = [fact for fact in map(json.loads, lines) if fact["dataset"] == name]
    return {fact["name"]: fact for fact in facts}


class TestRoundTrip:
    @pytest.mark.parametrize("name", FOLDERS)
    def test_every_record_equals_the_truth(self, whole_world, name):
        root, truth = whole_world / FOLDERS[name], truth_of(whole_world, name)
        records = {record.name: record for record in read(whole_world, name)}
        assert records.keys() == truth.keys()
        for record_name, fact in truth.items():
            record = records[record_name]
            assert isinstance(record, DATASETS[name].record)
            for field, wanted in fact.items():
                if field == "world":
                    continue
                found = getattr(record, field)
                if field in ("path", "first", "second") and wanted is not None:
                    wanted = root / wanted
                if field == "options":
                    wanted = tuple(wanted)
                if field == "scores":
                    assert list(found) == list(wanted)
                    assert all(math.isclose(found[key], wanted[key], abs_tol=0.6e-4) for key in wanted)
                else:
                    assert found == wanted, f"{record_name}: {field}"

    @pytest.mark.parametrize("name", FOLDERS)
    def test_every_file_is_there(self, whole_world, name):
        assert not missing_files(read(whole_world, name))

    @pytest.mark.parametrize("folder", sorted(set(FOLDERS.values())))
    def test_no_video_is_left_over(self, whole_world, folder):
        used = {
            path for name in FOLDERS if FOLDERS[name] == folder for r in read(whole_world, name) for path in r.paths
        }
        assert set((whole_world / folder).rglob("*.mp4")) == used

    @pytest.mark.parametrize("name", FOLDERS)
    def test_splits_have_the_counts_that_were_asked_for(self, whole_world, name):
        counts = json.loads((whole_world / "miniature.json").read_text())["datasets"][FOLDERS[name]]["counts"]
        found = Counter(record.split for record in read(whole_world, name))
        wanted = {
            "visionreward": {"train": counts.get("train")},
            "visionreward_questions": {"train": len(truth_of(whole_world, name))},
            "visionreward_pairs": {split: counts.get(split) for split in ("regression", "test")},
            "finevd": {"all": counts.get("train")},
            "finevd_questions": {split: 7 * counts.get(split, 0) for split in ("train", "test")},
        }
        assert found == wanted.get(name, counts)

    def test_another_process_count_gives_the_same_bytes(self, whole_world, tmp_path):
        names = ["genai_bench", "videogen_eval", "finevd"]  # Parquet, a spreadsheet, natural clips
        again = write_miniature(tmp_path / "again", seed=0, workers=1, names=names)
        first = json.loads((whole_world / "miniature.json").read_text())
        for name in names:
            assert again["datasets"][name] == first["datasets"][name]

    def test_another_seed_gives_other_clips(self, whole_world, tmp_path):
        other = write_miniature(tmp_path / "other", seed=1, workers=1, names=["t2vqa"])
        first = json.loads((whole_world / "miniature.json").read_text())
        assert other["datasets"]["t2vqa"]["digest"] != first["datasets"]["t2vqa"]["digest"]


class TestAcrossSets:
    def test_sets_hold_the_same_clips(self, whole_world):
        def contents(name):
            return {record.path.read_bytes() for record in read(whole_world, name)}

        assert contents("t2vqa") == contents("lgvq") & contents("t2vqa")
        assert contents("finger") & contents("lgvq")

    def test_scores_of_one_clip_agree_across_sets(self, whole_world):
        """The raters differ, the clip does not."""
        alignment = {record.path.read_bytes(): record.scores["alignment"] for record in read(whole_world, "lgvq")}
        pairs = [
            (alignment[record.path.read_bytes()], record.scores["text-to-video alignment"])
            for record in read(whole_world, "videofeedback")
            if record.path.read_bytes() in alignment
        ]
        assert len(pairs) >= 6
        assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.8

    def test_no_benchmark_asks_for_what_a_training_set_asks_for(self, whole_world):
        def prompts(name, split=None):
            return {record.prompt for record in read(whole_world, name) if split in (None, record.split)}

        trained = prompts("lgvq") | prompts("t2vqa") | prompts("visionreward") | prompts("finger", "train")
        trained |= prompts("visionreward_pairs", "regression") | prompts("videofeedback", "train")
        tested = prompts("genai_bench") | prompts("genai_bench_800") | prompts("finger", "test")
        tested |= prompts("visionreward_pairs", "test")
        assert trained
        assert tested
        assert not trained & tested

    def test_the_prompt_sets_have_the_prompts_of_the_clips(self, whole_world):
        listed = {record.text for record in read(whole_world, "videogen_eval")}
        assert {record.prompt for record in read(whole_world, "t2vqa")} <= listed
        assert {record.text for record in read(whole_world, "vidprom")} <= listed

    @pytest.mark.parametrize("name", ["lgvq", "t2vqa", "genai_bench_800", "genai_bench", "visionreward_questions"])
    def test_no_prompt_is_in_two_splits(self, whole_world, name):
        records = split_by_group(read(whole_world, name), DATASETS[name].group, {"train": 0.5, "test": 0.5}, seed=0)
        prompts = {split: {r.prompt for r in records if r.split == split} for split in ("train", "test")}
        assert prompts["train"]
        assert prompts["test"]
        assert not prompts["train"] & prompts["test"]

    def test_no_video_of_questions_is_in_two_splits(self, whole_world):
        for name in ("finevd_questions", "q_bench_video"):
            records = split_by_group(read(whole_world, name), DATASETS[name].group, {"train": 0.5, "test": 0.5}, seed=0)
            videos = {split: {r.path.name for r in records if r.split == split} for split in ("train", "test")}
            assert not videos["train"] & videos["test"]

    def test_clips_are_videos(self, whole_world):
        record = read(whole_world, "genai_bench")[0]
        frames = read_video(record.first, FramePolicy(count=4))
        assert frames.pixels.shape == (4, 56, 84, 3)
        assert frames.total == FRAMES


class TestPublishedForms:
    """The files as their authors have them, not as our readers see them."""

    def test_lgvq(self, whole_world):
        lines = (whole_world / "lgvq" / "MOS.txt").read_text().splitlines()
        assert all(len(line.rsplit(";", 3)) == 4 for line in lines)
        models = [line.split("/")[0] for line in lines]
        assert models == sorted(models)  # model by model

    def test_visionreward(self, whole_world):
        import pyarrow.parquet as pq

        root = whole_world / "visionreward"
        train = pq.read_table(root / "train/train-00000-of-00001.parquet")
        assert train.column_names == [
            *("video_path", "internal_id", "prompt", "url", "annotation", "meta_result", "meta_mask"),
        ]
        assert len(train.schema.field("annotation").type) == 21
        pairs = pq.read_table(root / "test/test-00000-of-00001.parquet")
        assert pairs.column_names == ["internal_id", "prompt", "standard_answer", "video1_path", "video2_path"]
        assert set(pairs["standard_answer"].to_pylist()) <= {"video1", "video2", "tie"}

    def test_genai_bench(self, whole_world):
        import pyarrow.parquet as pq

        table = pq.read_table(whole_world / "genai_bench/video_generation/test_v1-00000-of-00001.parquet")
        wanted = ["prompt", "left_model", "right_model", "left_video", "right_video", "vote_type"]
        assert table.column_names == wanted
        assert all(link.startswith("https://") and link.endswith(".mp4") for link in table["left_video"].to_pylist())

    def test_finevd(self, whole_world):
        root = whole_world / "finevd"
        first = (root / "abcd_test_en.jsonl").read_text(encoding="utf-8").splitlines()[0]
        assert json.loads(first)["video"].startswith("\ufeff")
        assert sorted(path.name for path in root.glob("FINEVD*.csv")) == [
            *(f"FINEVD_MOS_{name}_metadata.csv" for name in ("artifact", "blur", "color", "noise", "temporal")),
            "FINEVD_metadata.csv",
        ]


class TestWorld:
    def test_prompts(self):
        prompts = world_prompts(0)
        assert len(prompts) == len({prompt.text for prompt in prompts}) == 360
        assert WorldPrompt("circle", "red", "left", "bricks").text == "a red circle moves left over bricks"
        assert world_prompts(0) is world_prompts(0)
        assert world_prompts(0) != world_prompts(1)

    def test_sources_share_no_prompt(self):
        ranges = [set(range(source.first, source.first + source.prompts)) for source in SOURCES.values()]
        assert sum(map(len, ranges)) == len(set.union(*ranges)) == 360
        assert len({source.key for source in SOURCES.values()}) == len(SOURCES)

    def test_a_block_has_two_prompts_by_all_generators(self, clips):
        for block in (clips[:BLOCK], clips[BLOCK:]):
            assert {(clip.prompt.text, clip.generator) for clip in block} == {
                (prompt, generator) for prompt in {clip.prompt.text for clip in block} for generator in GENERATORS
            }
            for first, second in zip(block[: BLOCK // 2], block[BLOCK // 2 :], strict=True):
                assert first.prompt == second.prompt

    def test_the_same_numbers_give_the_same_bytes(self, clips):
        again = draw_generated(SOURCES["generated_train"], 3, 5)
        assert (again.data, again.facts()) == (clips[5].data, clips[5].facts())
        assert draw_generated(SOURCES["generated_train"], 4, 5).data != again.data

    def test_there_are_only_so_many_clips(self):
        with pytest.raises(ValueError, match="the world has 260 prompts"):
            draw_generated(SOURCES["generated_train"], 0, 260 * 6 + 100)

    def test_skill_tells(self):
        sums = dict.fromkeys(GENERATORS, 0.0)
        for index in range(4 * BLOCK):
            clip = draw_generated(SOURCES["generated_test"], 0, index)
            sums[clip.generator] += clip.qualities["overall"]
        ranked = sorted(sums, key=sums.get, reverse=True)
        assert set(ranked[:3]) == {"oak", "birch", "maple"}

    def test_real_clips_show_what_is_said_and_nothing_is_wrong(self):
        for index in range(3):
            clip = draw_generated(SOURCES["generated_real"], 0, index)
            assert clip.shown == {part: getattr(clip.prompt, part) for part in PARTS}
            assert clip.qualities["alignment"] == pytest.approx(1)
            assert not clip.strengths
            assert not clip.faults

    def test_qualities_are_between_none_and_all(self, clips):
        assert sum(PARTS.values()) == pytest.approx(1)
        for clip in clips:
            assert all(0 <= quality <= 1 + 1e-9 for quality in clip.qualities.values())

    def test_flaws_lower_their_own_quality_only(self, clips):
        clean = replace(clips[0], strengths={}, faults={})
        lowered = {
            "visual quality": replace(clean, strengths={"blur": 0.5}),
            "temporal consistency": replace(clean, faults={"flicker": 0.5}),
            "factual consistency": replace(clean, faults={"deformation": 0.5}),
        }
        for dimension, flawed in lowered.items():
            for name in ("visual quality", "temporal consistency", "alignment", "factual consistency"):
                assert (flawed.qualities[name] < clean.qualities[name]) == (name == dimension)

    def test_what_stands_still_goes_in_no_direction(self, clips):
        asked = {part: getattr(clips[0].prompt, part) for part in PARTS}
        still, moving = (replace(clips[0], shown=asked, speed=speed) for speed in (0.05, 0.9))
        assert moving.qualities["alignment"] - still.qualities["alignment"] == pytest.approx(PARTS["direction"])

    def test_what_is_shown_is_in_the_pixels(self, tmp_path):
        """The colour at the shape's place, and the way it goes, of clips in which nothing is wrong."""
        for index in range(6):
            clip = draw_generated(SOURCES["generated_real"], 3, index)
            (tmp_path / "clip.mp4").write_bytes(clip.data)
            pixels = read_video(tmp_path / "clip.mp4", FramePolicy(count=FRAMES)).pixels.astype(int)
            colour = COLOURS[clip.shown["colour"]]
            middle = pixels[FRAMES // 2, 26:31, 40:45].mean(axis=(0, 1))
            assert np.abs(middle - colour).max() < 40
            # what differs from frame to frame is where the shape was or is
            moved = np.abs(pixels[[0, -1]] - pixels[FRAMES // 2]).max(axis=-1) > 60
            near = moved & (np.abs(pixels[[0, -1]] - colour).max(axis=-1) < 60)
            first, last = (np.argwhere(each).mean(axis=0)[::-1] for each in near)
            assert (last - first) @ np.array(DIRECTIONS[clip.shown["direction"]]) > 10


class TestPreferences:
    def test_of_known_qualities(self, clips):
        def of(quality):
            """A clip of this overall quality: only how well it follows the prompt differs."""
            found = min(clips, key=lambda clip: abs(clip.qualities["overall"] - quality))
            return found, found.qualities["overall"]

        (bad, low), (good, high) = of(0.0), of(1.0)
        assert low < BAD < high - TIE
        assert preference(good, bad, with_both_bad=True) == "first"
        assert preference(bad, good, with_both_bad=True) == "second"
        assert preference(good, good, with_both_bad=True) == "tie"
        assert preference(bad, bad, with_both_bad=True) == "both_bad"
        assert preference(bad, bad, with_both_bad=False) == "tie"

    def test_every_vote_occurs(self, whole_world):
        votes = Counter(pair.preference for pair in read(whole_world, "genai_bench"))
        assert set(votes) <= {"first", "second", "tie", "both_bad"}
        assert len(votes) >= 3
        assert "both_bad" not in {pair.preference for pair in read(whole_world, "visionreward_pairs")}

    def test_pairs_have_one_prompt_two_generators_and_no_clip_twice(self, clips):
        def draw(source, count):
            return [draw_generated(SOURCES[source], 0, index) for index in range(count)]

        pairs = draw_pairs(draw, "generated_test", 8)
        assert len(pairs) == 8
        assert all(first.prompt == second.prompt for first, second in pairs)
        assert all(first.generator != second.generator for first, second in pairs)
        assert len({clip.key for pair in pairs for clip in pair}) == 16
        # the better one comes first as often as not: position must not tell
        assert len({list(GENERATORS).index(first.generator) < 3 for first, _ in pairs}) == 2


class TestEntityQuestions:
    def test_every_dimension_is_asked_for_and_against(self, clips):
        for clip in clips:
            questions = entity_questions(clip)
            assert {(each.dimension, each.polarity) for each in questions} == {
                (dimension, polarity) for dimension in DIMENSIONS for polarity in ("positive", "negative")
            } - {("text-to-video alignment", "negative")}
            assert len({each.question for each in questions}) == len(questions) == QUESTIONS
            assert all(each.reason and each.entity in clip.prompt.text for each in questions)

    def test_reasons_leave_yes_and_no_to_the_answer(self, clips):
        said = [f"<reason> {each.reason} </reason> <answer> Yes </answer>" for each in entity_questions(clips[0])]
        assert reason_format_reward(said) == [1.0] * QUESTIONS

    def test_a_perfect_clip_has_every_answer_in_its_favour(self):
        clip = draw_generated(SOURCES["generated_real"], 0, 0)
        assert all((each.answer == "yes") == (each.polarity == "positive") for each in entity_questions(clip))

    def test_a_hopeless_clip_has_every_answer_against_it(self, clips):
        shown = {"shape": "square", "colour": "green", "direction": "up", "background": "stars"}
        prompt = WorldPrompt("circle", "red", "left", "bricks")
        flaws = {"blur": 1.0, "noise": 1.0, "shuffling": 1.0}
        faults = {"flicker": 1.0, "deformation": 1.0, "colour change": 1.0}
        hopeless = replace(clips[0], prompt=prompt, shown=shown, speed=0.4, strengths=flaws, faults=faults)
        answers = {each.question: each for each in entity_questions(hopeless)}
        still = answers.pop("Does the circle stand still?")
        assert all((each.answer == "no") == (each.polarity == "positive") for each in answers.values())
        assert still.answer == "no"
        standing = {each.question: each.answer for each in entity_questions(replace(hopeless, speed=0.0))}
        assert standing["Does the circle stand still?"] == "yes" and standing["Does the circle move left?"] == "no"


def test_every_set_has_a_miniature():
    assert set(FOLDERS.values()) <= set(MINIATURES)
    assert set(FOLDERS) <= set(DATASETS)
