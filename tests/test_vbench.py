"""VBench's result files, as its evaluate script writes them, and the leaderboard's averages by hand."""

import json

import pytest

from vqa_lib.vbench import QUALITY, SEMANTIC, VBenchError, read_vbench, vbench_averages

LOWEST = {name: low for name, (low, _) in {**QUALITY, **SEMANTIC}.items()}


def write(folder, name, content):
    folder.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / f"{name}_eval_results.json").write_text(text)
    return folder


def result(score):
    return [score, [{"video_path": "a.mp4", "video_results": score}]]


def test_files_of_a_folder_are_read_together(tmp_path):
    write(tmp_path, "results_1", {"motion_smoothness": result(0.97), "imaging_quality": result(68.0)})
    write(tmp_path, "results_2", {"color": result(0.5), "motion_smoothness": result(0.97)})
    (tmp_path / "results_1_full_info.json").write_text("[]")
    assert read_vbench(tmp_path) == {"motion_smoothness": 0.97, "imaging_quality": 0.68, "color": 0.5}


def test_averages_by_hand():
    assert vbench_averages(LOWEST) == {"overall": 0.0, "quality": 0.0, "semantic": 0.0}
    # One dimension of weight 1, and the one of weight 0.5, of a sum of weights of 6.5.
    assert vbench_averages({**LOWEST, "aesthetic_quality": 0.5})["quality"] == pytest.approx(0.5 / 6.5)
    assert vbench_averages({**LOWEST, "dynamic_degree": 0.5})["quality"] == pytest.approx(0.25 / 6.5)
    scene = vbench_averages({**LOWEST, "scene": 0.4111})
    assert scene["semantic"] == pytest.approx(0.5 / 9)
    assert scene["overall"] == pytest.approx(0.5 / 9 / 5)


def test_the_published_overall_follows_from_quality_and_semantic():
    # T2V-Turbo's row of VQ-Insight's Table 6
    overall = 0.8 * 0.8271 + 0.2 * 0.7393
    assert overall == pytest.approx(0.8095, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "expected {dimension"),
        ("{", "expected {dimension"),
        ({"color": []}, "expected {dimension"),
        ({"colour": result(0.5)}, "colour: not a dimension"),
        ({"color": result(1.5)}, "color: expected a score from 0 to 1, found 1.5"),
        ('{"color": [NaN, []]}', "color: expected a score from 0 to 1"),
    ],
)
def test_a_file_of_another_form_is_one_clear_error(tmp_path, content, message):
    write(tmp_path, "bad", content)
    with pytest.raises(VBenchError, match=f"bad_eval_results.json: .*{message}"):
        read_vbench(tmp_path)


def test_contradictions_and_gaps_are_errors(tmp_path):
    with pytest.raises(VBenchError, match="no VBench results"):
        read_vbench(tmp_path)
    write(tmp_path, "one", {"color": result(0.5)})
    write(tmp_path, "two", {"color": result(0.6)})
    with pytest.raises(VBenchError, match=r"color: another file of the folder says 0\.5, this one 0\.6"):
        read_vbench(tmp_path)
    with pytest.raises(VBenchError, match="missing: subject_consistency"):
        vbench_averages({"color": 0.5})
