"""Every annotation file that a reader knows, as it is published, with two or three rows: for the tests of readers."""

import json

from vqa_lib.miniature.files import write_mat, write_xlsx


def scores(rows: list[tuple[str, str]]) -> str:
    """VQAThinker's JSON."""
    annotations = [{"image_id": name, "ann_type": "score", "score": score} for name, score in rows]
    return json.dumps({"annotations": annotations})


def training(rows: list[tuple[str, float]]) -> str:
    """VQAThinker's JSON lines."""
    return "".join(
        json.dumps(
            {
                "id": number,
                "dataset_name": "LSVQ",
                "image": [name],
                "conversations": [{"from": "human", "value": "Rate it."}, {"from": "gpt", "value": score}],
            }
        )
        + "\n"
        for number, (name, score) in enumerate(rows)
    )


UGC = [
    ["vid", "category", "resolution", "x_Subjects", "MOS full", "MOS chunk00"],
    ["Animation_1080P-01b3", "Animation", 1080, 125, 3.649, 3.604],
    ["Vlog_360P-22a0", "Vlog", 360, 120, 3.286, 3.3],
]
CGVDS = (
    "File,MOS,width,height,framerate,Bitrate,VQ_EC,VQ_ACR\n"
    "Bejeweled3_30s_1280x720_60_1000_h264_nvenc.mp4,3.24,1280,720,60,1000,4.29,3.24\n"
)
SPAQ = [
    ["Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness"],
    ["00001.jpg", 35.2, 45, 50, 40, 30.5, 20],
    ["00002.jpg", 75, 80, 70, 60, 77, 90],
]

# (data set, options, {file: content}, {name: score of the first dimension})
# content: text, {"sheet": rows} of a spreadsheet, or {"variable": values} of a MATLAB file
FORMS = [
    (
        "koniq",
        {},
        {"koniq10k_distributions_sets.csv": 'image_name,MOS,SD,set\na.jpg,77.38,9,training\n"b.jpg",50,8,test\n'},
        {"a.jpg": 77.38, "b.jpg": 50},
    ),
    (
        "koniq",
        {},
        {
            "training_labels.txt": "10004473376.jpg, -1, -1, 77.3836206897\n",
            "validation_labels.txt": "v.jpg, -1, -1, 50\n",
            "test_labels.txt": "t.jpg, -1, -1, 40\n",
        },
        {"10004473376.jpg": 77.3836206897, "v.jpg": 50, "t.jpg": 40},
    ),
    (
        "koniq",
        {},
        {
            "koniq10k_scores_and_distributions/koniq10k_scores_and_distributions.csv": (
                'image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,MOS_zscore\n"a.jpg",0,0,25,73,7,105,3.828571,0.527278,82.09\n'
            )
        },
        {"a.jpg": 82.09},
    ),
    (
        "spaq",
        {},
        {"Annotations/MOS and Image attribute scores.xlsx": {"Sheet1": SPAQ}},
        {"00001.jpg": 35.2, "00002.jpg": 75},
    ),
    (
        "spaq",
        {"dimensions": "sharpness"},
        {"MOS and Image attribute scores.xlsx": {"S": SPAQ}},
        {"00001.jpg": 20, "00002.jpg": 90},
    ),
    (
        "spaq",
        {},
        {"annotations/MOS and Image attribute scores.csv": "Image name,MOS\n00001.jpg,35.2\n"},
        {"00001.jpg": 35.2},
    ),
    (
        "kadid",
        {},
        {"dmos.csv": "dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,4.57,0.496\n"},
        {"I01_01_01.png": 4.57},
    ),
    (
        "lsvq",
        {},
        {
            "labels_train_test.csv": (
                'name,p1,mos,is_test\nyfcc-batch1/747,"[15, 527, 421, 709, 0, 200]",67.75,True\n'
                'ia-batch2/1,"[0, 1]",50,False\n'
            ),
            "labels_test_1080p.csv": 'name,p1,mos\nyfcc-batch9/9,"[0, 1]",17.72\n',
        },
        {"yfcc-batch1/747": 67.75, "ia-batch2/1": 50, "yfcc-batch9/9": 17.72},
    ),
    (
        "lsvq",
        {},
        {
            "LSVQ_whole_train.csv": "name,mos\na/1,50\n",
            "LSVQ_whole_test.csv": "name,mos\na/2,51\n",
            "LSVQ_whole_test_1080p.csv": "name,mos\na/3,52\n",
        },
        {"a/1": 50, "a/2": 51, "a/3": 52},
    ),
    (
        "lsvq",
        {},
        {
            "train_labels.txt": "a/1.mp4, -1, -1, 50\n",
            "labels_test.txt": "yfcc-batch1/747.mp4, -1, -1, 67.75\n",
            "labels_1080p.txt": "a/3.mp4, -1, -1, 52\n",
        },
        {"a/1": 50, "yfcc-batch1/747": 67.75, "a/3": 52},
    ),
    (
        "lsvq",
        {},
        {
            "LSVQ_whole_test_ds_score.json": scores([("yfcc-batch1/747.mp4", "67.75")]),
            "LSVQ_whole_test_1080p_ds_score.json": scores([("a/3.mp4", "52")]),
        },
        {"yfcc-batch1/747": 67.75, "a/3": 52},
    ),
    (
        "konvid",
        {},
        {"KoNViD_1k_metadata/KoNViD_1k_mos.csv": '"flickr_id", "mos"\n"3339962845", "4.64"\n'},
        {"3339962845": 4.64},
    ),
    ("konvid", {}, {"KoNViD_1k_videos/KoNViD_1k_mos.csv": "flickr_id,mos\n1,2\n"}, {"1": 2}),
    (
        "konvid",
        {},
        {"KoNViD_1k_metadata/KoNViD_1k_attributes.csv": "flickr_id,n,file_name,MOS\n1,50,1_original.mp4,2.5\n"},
        {"1": 2.5},
    ),
    (
        "konvid",
        {},
        {"KONVID_1K_metadata.csv": "flickr_id,mos,width,height\n3339962845,4.6400000000,960,540\n"},
        {"3339962845": 4.64},
    ),
    (
        "konvid",
        {},
        {"labels.txt": "KoNViD_1k_videos/4542323058.mp4, 8.008, 29.97002997002997, 3.22\n"},
        {"4542323058": 3.22},
    ),
    ("konvid", {}, {"Konvid-1k_total_ds_score.json": scores([("4542323058.mp4", "64.4")])}, {"4542323058": 3.22}),
    (
        "live_vqc",
        {},
        {"data.mat": {"video_list": ["A001.mp4", "A002.mp4"], "mos": [80.232, 57.3005]}},
        {"A001.mp4": 80.232, "A002.mp4": 57.3005},
    ),
    ("live_vqc", {}, {"LIVE_VQC_data.mat": {"video_list": ["A001.mp4"], "mos": [80.232]}}, {"A001.mp4": 80.232}),
    ("live_vqc", {}, {"LIVE_VQC_metadata.csv": "File,MOS,width\nA001.mp4,80.232,1920\n"}, {"A001.mp4": 80.232}),
    ("live_vqc", {}, {"labels.txt": "Video/A001.mp4, 10.002367, 30.0, 80.232\n"}, {"A001.mp4": 80.232}),
    ("live_vqc", {}, {"LIVE-VQC_total_ds_score.json": scores([("A001.mp4", "80.232")])}, {"A001.mp4": 80.232}),
    (
        "youtube_ugc",
        {},
        {"original_videos_MOS_for_YouTube_UGC_dataset.xlsx": {"diff2": [["x"]], "MOS": UGC}},
        {"Animation_1080P-01b3": 3.649, "Vlog_360P-22a0": 3.286},
    ),
    (
        "youtube_ugc",
        {},
        {"YOUTUBE_UGC_metadata.csv": "vid,category,MOSFull,MOSChunk00\nAnimation_1080P-01b3,Animation,3.649,3.604\n"},
        {"Animation_1080P-01b3": 3.649},
    ),
    (
        "youtube_ugc",
        {},
        {"labels.txt": "Sports_2160P-4e9f_crf_10_ss_00_t_20.0.mp4, -1, -1, 4.405\n"},
        {"Sports_2160P-4e9f": 4.405},
    ),
    (
        "youtube_ugc",
        {},
        {"youtube_ugc_total.json": scores([("Sports_2160P-4e9f_crf_10_ss_00_t_20.0.mp4", "4.405")])},
        {"Sports_2160P-4e9f": 4.405},
    ),
    (
        "live_yt_gaming",
        {},
        {"LIVEYTGaming.mat": {"video_list": ["ARKSuvivalEvolved-001"], "MOS": [68.71]}},
        {"ARKSuvivalEvolved-001": 68.71},
    ),
    (
        "live_yt_gaming",
        {},
        {"LIVE-YT-Gaming_metadata.csv": "File,MOS,width\nARKSuvivalEvolved-001.mp4,68.71,1920\n"},
        {"ARKSuvivalEvolved-001": 68.71},
    ),
    ("live_yt_gaming", {}, {"LIVE-YT-Gaming_total_score.json": scores([("A-001.mp4", "4.53")])}, {"A-001": 4.53}),
    (
        "live_yt_gaming",
        {"annotations": "mos.xlsx"},
        {"mos.xlsx": {"S": [["A-001", 4.53], ["A-002", 95.95]]}},
        {"A-001": 4.53, "A-002": 95.95},
    ),
    (
        "live_yt_gaming",
        {"annotations": "own.csv", "name_column": "clip", "score_column": "score"},
        {"own.csv": "clip,score\nA-001,4.53\n"},
        {"A-001": 4.53},
    ),
    ("cgvds", {}, {"CGVDS_metadata.csv": CGVDS}, {"Bejeweled3_30s_1280x720_60_1000_h264_nvenc": 4.29}),
    ("cgvds", {"score": "VQ_ACR"}, {"CGVDS_metadata.csv": CGVDS}, {"Bejeweled3_30s_1280x720_60_1000_h264_nvenc": 3.24}),
    (
        "cgvds",
        {},
        {"CGVDS_total_score.json": scores([("Bejeweled3_30s_1280x720_60_1000_h264_nvenc.mp4", "6.06")])},
        {"Bejeweled3_30s_1280x720_60_1000_h264_nvenc": 6.06},
    ),
    (
        "cgvds",
        {"annotations": "MOS.xlsx", "name_column": "Video", "score_column": "VQ"},
        {"MOS.xlsx": {"S": [["Video", "VQ"], ["Maze_30s_1280x720_60_1000_h264_nvenc.mp4", 4]]}},
        {"Maze_30s_1280x720_60_1000_h264_nvenc": 4},
    ),
    (
        "live_yt_hfr",
        {},
        {"LIVE_HFR_metadata.csv": "Filename,MOS,width\n1Runner_crf_0_24fps,43.02495047,3840\n"},
        {"1Runner_crf_0_24fps": 43.02495047},
    ),
    (
        "live_yt_hfr",
        {},
        {"live_hfr_total_score.json": scores([("1Runner_crf_0_24fps.mp4", "43.02495047")])},
        {"1Runner_crf_0_24fps": 43.02495047},
    ),
    (
        "live_yt_hfr",
        {"annotations": "own.csv"},
        {"own.csv": "1Runner_crf_0_24fps.webm,43\n"},
        {"1Runner_crf_0_24fps": 43},
    ),
    (
        "waterloo_4k",
        {},
        {"scores.txt": "HEVC, 1, 540p, 1, 20.5\nH264,02,1920x1080,4,97.59\n"},
        {"HEVC_01_960x540_1": 20.5, "H264_02_1920x1080_4": 97.59},
    ),
    (
        "waterloo_4k",
        {},
        {"Waterloo_IVC_4K_total_score.json": scores([("HEVC_01_960x540_1.mp4", "0.74")])},
        {"HEVC_01_960x540_1": 0.74},
    ),
    (
        "vdpve",
        {},
        {"train.txt": "A0023_01.mp4 19.89\nB0001_02.mp4, 50\nC0001_03.mp4\t84.42\n"},
        {"A0023_01": 19.89, "B0001_02": 50, "C0001_03": 84.42},
    ),
    ("vdpve", {}, {"VDPVE_train_score.json": scores([("A0023_01.mp4", "19.89")])}, {"A0023_01": 19.89}),
    (
        "csv",
        {"low": "1", "high": "5"},
        {"clips.csv": "path,mos\na/b c.mp4,3.5\n./d.JPG,2\n"},
        {"a/b c.mp4": 3.5, "d.JPG": 2},
    ),
    (
        "csv",
        {"file": "x.csv"},
        {"x.csv": 'path,mos,sd,split,prompt\na.mp4,50,9,test,"a cat, asleep"\nb.mp4,60,,train,\n'},
        {"a.mp4": 50, "b.mp4": 60},
    ),
    ("score_list", {}, {"labels.txt": "Test3/City/a, b.avi, 10.1, 25, 0.5\n"}, {"Test3/City/a, b.avi": 0.5}),
    ("vqathinker", {}, {"scores.json": scores([("a.mp4", "50")])}, {"a.mp4": 50}),
    (
        "vqathinker",
        {"file": "train.jsonl", "low": "1", "high": "5"},
        {"train.jsonl": training([("yfcc-batch6/4134.mp4", 2.611842)])},
        {"yfcc-batch6/4134.mp4": 2.611842},
    ),
    (
        "pairs_csv",
        {},
        {"pairs.csv": "a,b,preference,prompt\na.mp4,b.mp4,first,a cat\nb.mp4,c.mp4,tie,\n"},
        {"1": None, "2": None},
    ),
]


def write_files(root, files: dict) -> None:
    """Write the annotation files of a form below the root."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_bytes(content.encode("utf-8", "surrogatepass"))
        elif path.suffix == ".mat":
            write_mat(path, content, "test")
        else:
            write_xlsx(path, content)
