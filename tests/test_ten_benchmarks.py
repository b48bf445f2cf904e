"""The ten test sets of VQAThinker: which clips they are, in which order."""

import pytest

from vqa_lib.datasets import DATASETS, DatasetError, load_clips
from vqa_lib.miniature import write_miniature
from vqa_lib.ten_benchmarks import IN_DOMAIN, OTHERS, OUT_OF_DOMAIN, load_ten_benchmarks


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    data, other_data = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("other_data")
    write_miniature(data, scale=0.03, seed=0, names=["lsvq", "konvid", "live_vqc"])
    write_miniature(other_data, scale=0.1, seed=0, names=OTHERS)
    return data, other_data


def test_all_clips_in_the_order_of_the_table(folders):
    clips = load_ten_benchmarks(*folders)
    places = [f"{clip.dataset}/{clip.split}" for clip in clips]
    assert list(dict.fromkeys(places)) == [*IN_DOMAIN, *OUT_OF_DOMAIN]
    assert clips[: places.count("lsvq/test")] == load_clips("lsvq", folders[0] / "lsvq", "test")
    assert all((clip.path.is_relative_to(folders[1])) == (clip.dataset in OTHERS) for clip in clips)
    limited = [f"{clip.dataset}/{clip.split}" for clip in load_ten_benchmarks(*folders, limit=1)]
    assert limited == [*IN_DOMAIN, *OUT_OF_DOMAIN]


def test_the_sets_are_two_halves_of_known_ones():
    assert len(IN_DOMAIN) == len(OUT_OF_DOMAIN) == 5
    assert {place.split("/")[0] for place in IN_DOMAIN + OUT_OF_DOMAIN} == {"lsvq", "konvid", "live_vqc", *OTHERS}
    assert all(name in DATASETS for name in OTHERS)


def test_a_missing_folder_is_named(folders, tmp_path):
    with pytest.raises(DatasetError, match="youtube_ugc"):
        load_ten_benchmarks(folders[0], tmp_path)
