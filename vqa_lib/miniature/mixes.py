"""How often each distortion occurs in the clips of a data set, and the scales of the scores."""

from vqa_lib.records import Scale

# How often each distortion occurs. LSVQ's three sets share one mix; the test-only sets have their own.
WEB_VIDEO = {
    "downscaling": 0.18, "blur": 0.22, "noise": 0.22, "exposure": 0.15, "cast": 0.12, "compression": 0.3,
    "stutter": 0.18, "dropping": 0.08, "jitter": 0.15, "shuffling": 0.15,
}  # fmt: skip
PHOTOGRAPHS_TAKEN = {
    "downscaling": 0.25,
    "blur": 0.35,
    "noise": 0.3,
    "exposure": 0.25,
    "cast": 0.2,
    "compression": 0.35,
}
COMPRESSED_VIDEO = {"downscaling": 0.3, "blur": 0.3, "noise": 0.1, "compression": 0.55, "stutter": 0.15, "jitter": 0.2}
MOBILE_VIDEO = {
    "blur": 0.2,
    "noise": 0.4,
    "exposure": 0.4,
    "cast": 0.25,
    "stutter": 0.25,
    "jitter": 0.4,
    "dropping": 0.2,
}

ZERO_TO_HUNDRED = Scale(0, 100)
ONE_TO_FIVE = Scale(1, 5)
SEVEN_POINTS = Scale(1, 7)
