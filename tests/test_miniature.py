import itertools
import json
import math
import subprocess
import sys

import av
import cv2
import numpy as np
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat

from vqa_lib.datasets import DATASETS, split_by_group
from vqa_lib.datasets.annotations import Notes
from vqa_lib.datasets.loading import read_dataset
from vqa_lib.miniature import MINIATURES, QUICKSTART, write_miniature
from vqa_lib.miniature.distortions import (
    DISTORTIONS,
    FRAMES,
    SPARE_FRAMES,
    SPATIAL,
    TEMPORAL,
    distort,
    encode_image,
    encode_video,
    frame_order,
)
from vqa_lib.miniature.opinions import opinions, true_quality
from vqa_lib.miniature.scenes import PHOTOGRAPHS, photographs, render_scene
from vqa_lib.miniature.world import draw_clip
from vqa_lib.miniature.write import SOURCES, folder_digest
from vqa_lib.records import Scale

SMALL = 0.001  # four clips a split, the least there is

strength = st.floats(0.01, 1.0)
seeds = st.integers(0, 2**32 - 1)


def truth_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]


def contents(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_several_runs_may_want_the_same_data_at_once(tmp_path):
    script = (
        f"from vqa_lib.miniature import write_miniature as write; write({str(tmp_path / 'world')!r}, {SMALL}, 5, 1)"
    )
    runs = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [(run.communicate(timeout=200)[1], run.returncode) for run in runs]
    assert [code for _, code in ended] == [0, 0, 0], ended
    assert sum("konvid" in errors for errors, _ in ended) == 1  # its progress bar: one alone has written


@pytest.fixture(scope="module")
def first_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return folder, write_miniature(folder, scale=SMALL, seed=5, workers=1)


class TestSeeds:
    def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_processes(self, first_world, tmp_path):
        folder, description = first_world
        assert write_miniature(tmp_path / "again", scale=SMALL, seed=5, workers=2) == description
        assert contents(tmp_path / "again") == contents(folder)

    def test_another_seed_gives_other_clips_and_scores(self, first_world, tmp_path):
        folder, description = first_world
        other = write_miniature(tmp_path / "other", scale=SMALL, seed=6, workers=1)
        for name in QUICKSTART:
            assert other["datasets"][name]["counts"] == description["datasets"][name]["counts"]
            assert other["datasets"][name]["digest"] != description["datasets"][name]["digest"]
            ours, theirs = truth_of(folder / name), truth_of(tmp_path / "other" / name)
            assert not {fact["mos"] for fact in ours} & {fact["mos"] for fact in theirs}

    def test_the_digest_in_the_description_is_that_of_the_folder(self, first_world):
        folder, description = first_world
        for name, facts in description["datasets"].items():
            assert facts["digest"] == folder_digest(folder / name)

    def test_every_miniature_keeps_its_bytes(self, whole_world, tmp_path):
        others = [name for name in MINIATURES if name not in QUICKSTART]
        description = json.loads((whole_world / "miniature.json").read_text())
        assert list(description["datasets"]) == others
        again = write_miniature(tmp_path, seed=0, workers=1, names=others[:3])
        assert again["datasets"] == {name: description["datasets"][name] for name in others[:3]}
        for name in others:
            assert description["datasets"][name]["digest"] == folder_digest(whole_world / name)

    def test_a_digest_sees_names_and_contents(self, tmp_path):
        (tmp_path / "a").write_bytes(b"1")
        before = folder_digest(tmp_path)
        (tmp_path / "a").write_bytes(b"2")
        changed = folder_digest(tmp_path)
        (tmp_path / "a").rename(tmp_path / "b")
        assert len({before, changed, folder_digest(tmp_path)}) == 3

    def test_no_two_sources_share_a_seed(self):
        # Two sources with one key and one pool would give the same clips to training and test.
        assert len({source.key for source in SOURCES.values()}) == len(SOURCES)


class TestPhotographs:
    def test_no_photograph_stands_in_two_pools(self):
        names = [name for pool in PHOTOGRAPHS.values() for name in pool]
        assert len(names) == len(set(names))
        pictures = [picture.tobytes() for pool in PHOTOGRAPHS for picture in photographs(pool)]
        assert len(pictures) == len(set(pictures))  # nor under two names

    @pytest.mark.parametrize(
        ("source", "pool"),
        [
            ("koniq", "train"),  # training and validation
            ("koniq_test", "test"),
            ("lsvq_train", "train"),
            ("lsvq_test", "test"),
            ("lsvq_1080p", "test"),
            ("konvid", "other"),  # never trained on
            *((name, "other") for name in ("live_vqc", "youtube_ugc", "live_yt_gaming", "cgvds", "live_yt_hfr")),
            *((name, "other") for name in ("waterloo_4k", "vdpve", "spaq", "kadid")),
        ],
    )
    def test_what_is_tested_on_is_cut_from_other_photographs(self, source, pool):
        assert SOURCES[source].pool == pool


@pytest.fixture(scope="module")
def scene():
    return render_scene(np.random.default_rng(3), "train", 84, 56, FRAMES + SPARE_FRAMES)


class TestDistortions:
    @pytest.mark.parametrize("name", [name for name in DISTORTIONS if name != "compression"])
    def test_full_strength_changes_the_clip(self, scene, name):
        clean = distort(scene, {}, np.random.default_rng(0))
        spoiled = distort(scene, {name: 1.0}, np.random.default_rng(0))
        assert spoiled.shape == clean.shape == (FRAMES, 56, 84, 3)
        assert spoiled.dtype == np.uint8
        assert np.abs(spoiled.astype(int) - clean).mean() > 2  # of 255: visible, not a rounding

    @pytest.mark.parametrize("name", ["downscaling", "blur", "noise", "exposure", "cast"])
    def test_a_stronger_spatial_distortion_changes_more(self, scene, name):
        clean = distort(scene, {}, np.random.default_rng(0)).astype(int)
        errors = [
            np.abs(distort(scene, {name: level}, np.random.default_rng(0)) - clean).mean() for level in (0.1, 0.5, 1.0)
        ]
        assert errors[0] < errors[1] < errors[2]

    @pytest.mark.parametrize("encode", [encode_image, encode_video])
    def test_compression_makes_the_file_smaller(self, scene, encode):
        clip = scene[:FRAMES]
        sizes = [len(encode(clip, {"compression": level})) for level in (0.0, 0.3, 0.6, 1.0)]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] < sizes[0] / 2

    def test_compression_leaves_the_pixels_to_the_codec(self, scene):
        clean = distort(scene, {}, np.random.default_rng(0))
        np.testing.assert_array_equal(distort(scene, {"compression": 1.0}, np.random.default_rng(0)), clean)

    @pytest.mark.parametrize("name", [name for name in TEMPORAL if name != "jitter"])  # jitter moves the picture
    def test_distortions_of_the_order_only_reuse_the_scene(self, scene, name):
        known = {frame.tobytes() for frame in scene}
        assert all(frame.tobytes() in known for frame in distort(scene, {name: 1.0}, np.random.default_rng(0)))

    def test_every_distortion_has_one_kind(self):
        assert sorted(DISTORTIONS) == sorted(set(SPATIAL) | set(TEMPORAL))
        assert not set(SPATIAL) & set(TEMPORAL)


class TestFrameOrder:
    @given(
        st.dictionaries(st.sampled_from(DISTORTIONS), strength, max_size=4),
        seeds,
    )
    def test_only_frames_that_were_rendered_are_shown(self, strengths, seed):
        order = frame_order(strengths, np.random.default_rng(seed))
        assert order.shape == (FRAMES,)
        assert order.min() >= 0
        assert order.max() < FRAMES + SPARE_FRAMES

    @given(st.dictionaries(st.sampled_from([*SPATIAL, "jitter"]), strength), seeds)
    def test_other_distortions_keep_the_order(self, strengths, seed):
        assert frame_order(strengths, np.random.default_rng(seed)).tolist() == list(range(FRAMES))

    @given(strength, seeds)
    def test_dropping_jumps_forward_three_times(self, level, seed):
        steps = np.diff(frame_order({"dropping": level}, np.random.default_rng(seed)))
        jumps = steps[steps != 1]
        assert len(jumps) == 3
        assert len(set(jumps.tolist())) == 1
        assert jumps[0] > 1

    def test_a_stronger_dropping_jumps_further(self):
        last = [frame_order({"dropping": level}, np.random.default_rng(0))[-1] for level in (0.05, 0.5, 1.0)]
        assert last == sorted(set(last))

    @given(strength, seeds)
    def test_stutter_stands_still_but_never_goes_back(self, level, seed):
        steps = np.diff(frame_order({"stutter": level}, np.random.default_rng(seed)))
        assert (steps >= 0).all()
        assert (steps == 0).any()

    @given(strength, seeds)
    def test_shuffling_is_a_permutation(self, level, seed):
        order = frame_order({"shuffling": level}, np.random.default_rng(seed))
        assert sorted(order.tolist()) == list(range(FRAMES))

    def test_a_stronger_shuffling_moves_more_frames(self):
        def moved(level):
            orders = [frame_order({"shuffling": level}, np.random.default_rng(seed)) for seed in range(50)]
            return np.mean([(order != np.arange(FRAMES)).sum() for order in orders])

        assert moved(0.1) < moved(0.5) < moved(1.0)


class TestQuality:
    @pytest.mark.parametrize("name", DISTORTIONS)
    def test_falls_as_a_distortion_grows(self, name):
        qualities = [true_quality({name: level}) for level in (0, 0.25, 0.5, 0.75, 1)]
        assert qualities[0] == 1
        assert all(later < earlier for earlier, later in itertools.pairwise(qualities))
        assert qualities[-1] > 0

    @given(st.dictionaries(st.sampled_from(DISTORTIONS), strength), st.sampled_from(DISTORTIONS), strength)
    def test_a_further_distortion_lowers_it(self, strengths, name, level):
        others = {key: value for key, value in strengths.items() if key != name}
        assert 0 < true_quality({**others, name: level}) < true_quality(others) <= 1

    def test_a_clean_clip_is_perfect(self):
        assert true_quality({}) == 1

    @given(st.floats(0, 1), seeds)
    def test_opinions_stay_on_the_scale(self, quality, seed):
        mos, sd, ratings = opinions(quality, Scale(1, 5), np.random.default_rng(seed))
        assert 1 <= mos <= 5
        assert sd >= 0
        assert ((ratings >= 0) & (ratings <= 1)).all()
        assert math.isclose(mos, 1 + 4 * ratings.mean())

    @pytest.mark.parametrize(("name", "low", "high"), [("koniq", 1, 5), ("lsvq", 0, 100), ("live_vqc", 0, 100)])
    def test_scores_follow_the_truth(self, miniature, name, low, high):
        facts = truth_of(miniature / name)
        scores = np.array([fact["mos"] for fact in facts])
        qualities = [fact["quality"] for fact in facts]
        assert ((scores >= low) & (scores <= high)).all()
        assert np.corrcoef(scores, qualities)[0, 1] > 0.95
        assert all(math.isclose(fact["quality"], true_quality(fact["strengths"])) for fact in facts)

    def test_images_have_spatial_distortions_only(self, miniature):
        assert {name for fact in truth_of(miniature / "koniq") for name in fact["strengths"]} <= set(SPATIAL)


class TestFolder:
    def test_what_is_already_written_is_left_alone(self, first_world):
        folder, description = first_world
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        assert write_miniature(folder, scale=SMALL, seed=5) == description
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    def test_a_foreign_folder_is_refused_and_kept(self, tmp_path):
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(FileExistsError, match="not a miniature"):
            write_miniature(tmp_path, scale=SMALL)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_torn_or_another_world_is_written_anew(self, first_world, tmp_path):
        _, description = first_world
        write_miniature(tmp_path, scale=SMALL, seed=6, workers=1)
        (tmp_path / "konvid" / "left-over.mp4").write_bytes(b"from a crash")
        (tmp_path / "miniature.json").unlink()  # it is written last: without it the folder may be half full
        assert write_miniature(tmp_path, scale=SMALL, seed=5, workers=1) == description
        assert not (tmp_path / "konvid" / "left-over.mp4").exists()

    def test_further_sets_join_those_that_are_there(self, first_world, tmp_path):
        _, description = first_world
        write_miniature(tmp_path, scale=SMALL, seed=5, workers=1, names=["konvid"])
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "konvid").rglob("*")}
        both = write_miniature(tmp_path, scale=SMALL, seed=5, workers=1, names=["vdpve", "konvid"])
        assert list(both["datasets"]) == ["konvid", "vdpve"]
        assert both["datasets"]["konvid"] == description["datasets"]["konvid"]
        assert json.loads((tmp_path / "miniature.json").read_text()) == both
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "konvid").rglob("*")} == before

    def test_an_unknown_name_is_an_error(self, tmp_path):
        with pytest.raises(ValueError, match=r"no miniature of \['imagenet'\]; known: \['koniq'"):
            write_miniature(tmp_path / "none", names=["koniq", "imagenet"])
        assert not (tmp_path / "none").exists()

    @pytest.mark.parametrize("scale", [0, -1, float("nan")])
    def test_a_scale_that_is_not_positive_is_an_error(self, tmp_path, scale):
        with pytest.raises(ValueError, match="scale must be positive"):
            write_miniature(tmp_path / "none", scale=scale)
        assert not (tmp_path / "none").exists()


class TestVersions:
    """Sets that show each scene several times: the scene stays, what is done to it changes."""

    @pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if source.plan])
    def test_a_scene_keeps_its_distortions_in_every_version(self, name):
        source = SOURCES[name]
        count = len(source.plan)
        clips = [draw_clip(source, seed=3, index=index) for index in range(count + 1)]
        spatial = source.kind == "image"
        assert [clip.strengths for clip in clips[:count]] == [
            {key: value for key, value in strengths.items() if not spatial or key in SPATIAL}
            for strengths in source.plan
        ]
        assert clips[count].strengths == clips[0].strengths
        assert clips[count].data != clips[0].data
        assert len({clip.size for clip in clips[:count]}) == 1

    def test_versions_of_a_scene_look_alike(self, whole_world):
        def pixels(name):
            return cv2.imread(str(whole_world / "kadid" / "images" / name)).astype(int)

        near = np.abs(pixels("I01.png") - pixels("I01_01_01.png")).mean()
        far = np.abs(pixels("I01.png") - pixels("I02.png")).mean()
        assert near < far / 2

    @pytest.mark.parametrize("name", ["kadid", "cgvds", "live_yt_gaming", "live_yt_hfr", "waterloo_4k", "vdpve"])
    def test_scenes_are_not_shared_by_training_and_test(self, whole_world, name):
        records = read_dataset(name, whole_world / name, Notes())
        group = DATASETS[name].group
        assert 1 < len({group(record) for record in records}) < len(records)
        made = split_by_group(records, group, {"train": 0.5, "test": 0.5}, seed=0)
        sides = [{group(record) for record in made if record.split == split} for split in ("train", "test")]
        assert not sides[0] & sides[1]


class TestPublishedLayouts:
    def test_lsvq(self, miniature):
        root = miniature / "lsvq"
        header = (root / "labels_train_test.csv").read_text().splitlines()[0].split(",")
        large = (root / "labels_test_1080p.csv").read_text().splitlines()[0].split(",")
        assert (len(header), len(large)) == (38, 37)
        assert header[0] == "name"
        assert header[9] == "mos"
        assert header[-2:] == ["is_test", "is_valid"]
        assert large == [*header[:36], "is_valid"]
        names = [line.split(",")[0] for line in (root / "labels_train_test.csv").read_text().splitlines()[1:]]
        assert all((root / f"{name}.mp4").is_file() for name in names)
        assert all(name.split("/")[0][:-1] in ("yfcc-batch", "ia-batch") for name in names)

    def test_koniq(self, miniature):
        root = miniature / "koniq"
        scores = (root / "koniq10k_scores_and_distributions.csv").read_text().splitlines()
        sets = (root / "koniq10k_distributions_sets.csv").read_text().splitlines()
        assert scores[0] == "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,MOS_zscore"
        assert sets[0] == "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set"
        for stars, hundred in zip(scores[1:], sets[1:], strict=True):
            name, *histogram, mos, _, zscore = stars.split(",")
            assert (root / "1024x768" / name).is_file()
            assert sum(map(int, histogram[:5])) == int(histogram[5])
            assert hundred.split(",")[7] == zscore  # the one file's MOS is the other's score on 0-100
            assert math.isclose((float(mos) - 1) * 25, float(zscore), abs_tol=1e-4)
        assert {line.split(",")[-1] for line in sets[1:]} == {"training", "validation", "test"}

    def test_konvid(self, miniature):
        root = miniature / "konvid"
        lines = (root / "KoNViD_1k_metadata" / "KoNViD_1k_mos.csv").read_text().splitlines()
        assert lines[0] == "flickr_id,mos"
        listed = {f"{line.split(',')[0]}.mp4" for line in lines[1:]}
        assert {path.name for path in (root / "KoNViD_1k_videos").iterdir()} == listed

    def test_live_vqc(self, miniature):
        root = miniature / "live_vqc"
        variables = loadmat(root / "data.mat")
        count = len(list((root / "Video").iterdir()))
        assert variables["video_list"].shape == variables["mos"].shape == (count, 1)
        assert variables["video_list"].dtype == object  # a cell array
        assert str(variables["video_list"][0, 0][0]) == "A001.mp4"

    def test_spaq(self, whole_world):
        root = whole_world / "spaq"
        sheet = openpyxl.load_workbook(root / "Annotations" / "MOS and Image attribute scores.xlsx").worksheets[0]
        rows = list(sheet.values)
        assert rows[0] == ("Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness")
        assert [row[0] for row in rows[1:]] == sorted(path.name for path in (root / "TestImage").iterdir())

    def test_kadid(self, whole_world):
        root = whole_world / "kadid"
        rows = [line.split(",") for line in (root / "dmos.csv").read_text().splitlines()]
        assert rows[0] == ["dist_img", "ref_img", "dmos", "var"]
        assert rows[1][:2] == ["I01_01_01.png", "I01.png"]
        assert all((root / "images" / name).read_bytes()[1:4] == b"PNG" for row in rows[1:] for name in row[:2])

    def test_youtube_ugc(self, whole_world):
        root = whole_world / "youtube_ugc" / "original_videos"
        sheet = openpyxl.load_workbook(root / "MOS_for_YouTube_UGC_dataset.xlsx")["MOS"]
        rows = list(sheet.values)
        assert rows[0][:5] == ("vid", "category", "resolution", "x_Subjects", "MOS full")
        assert {f"{row[0]}.mkv" for row in rows[1:]} == {path.name for path in root.glob("*.mkv")}

    def test_waterloo_4k(self, whole_world):
        rows = [line.split(", ") for line in (whole_world / "waterloo_4k" / "scores.txt").read_text().splitlines()]
        assert all(len(row) == 5 for row in rows)
        assert {row[0] for row in rows} == {"HEVC", "H264", "VP9", "AVS2", "AV1"}
        assert all((whole_world / "waterloo_4k" / f"{'_'.join(row[:4])}.mp4").is_file() for row in rows)

    @pytest.mark.parametrize(
        ("name", "pattern", "container", "codec"),
        [("youtube_ugc", "*.mkv", "matroska,webm", "h264"), ("live_yt_hfr", "*.webm", "matroska,webm", "vp9")],
    )
    def test_containers(self, whole_world, name, pattern, container, codec):
        for path in (whole_world / name).rglob(pattern):
            with av.open(str(path)) as file:
                assert (file.format.name, file.streams.video[0].codec_context.name) == (container, codec)
                assert sum(1 for _ in file.decode(video=0)) == FRAMES

    def test_clips_are_what_they_claim(self, miniature):
        with av.open(str(miniature / "lsvq" / "yfcc-batch1" / "100.mp4")) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.frames, float(stream.average_rate)) == ("h264", FRAMES, 7.5)
            assert (stream.width, stream.height) == (84, 56)
