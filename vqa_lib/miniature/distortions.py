"""What can be wrong with a clip: each distortion with a strength in [0, 1], 0 being none.

Temporal distortions act on the frame order of the undistorted scene, spatial ones on the pixels; compression is the
codec's own (H.264 CRF, JPEG quality), applied when the clip is encoded.
"""

import io
from fractions import Fraction

import av
import cv2
import numpy as np

# In the order in which they are applied and named in descriptions.
SPATIAL = ["downscaling", "blur", "noise", "exposure", "cast", "compression"]
TEMPORAL = ["stutter", "dropping", "jitter", "shuffling"]
DISTORTIONS = SPATIAL + TEMPORAL

FRAMES = 15  # a clip has 15 frames at 7.5 a second: 2 seconds
FRAME_RATE = Fraction(15, 2)
CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm"}
SPARE_FRAMES = 15  # rendered beyond the clip's end, for dropped frames to jump to


def frame_order(strengths: dict[str, float], random: np.random.Generator) -> np.ndarray:
    """Which of the scene's FRAMES + SPARE_FRAMES frames the clip shows, in order; (FRAMES,) integers."""
    order = np.arange(FRAMES)
    if strength := strengths.get("dropping", 0):
        for position in random.choice(np.arange(2, FRAMES - 1), size=3, replace=False):
            order[position:] += 2 + round(3 * strength)
    if strength := strengths.get("stutter", 0):
        frozen = round(FRAMES * (0.3 + 0.6 * strength))
        while frozen > 0:  # freezes of four to seven frames until enough of the clip stands still
            length = min(int(random.integers(4, 8)), max(frozen, 3))
            start = int(random.integers(0, FRAMES - length))
            order[start : start + length] = order[start]
            frozen -= length
    if strength := strengths.get("shuffling", 0):
        chosen = np.sort(random.choice(FRAMES, size=max(6, round(FRAMES * (0.4 + 0.6 * strength))), replace=False))
        order[chosen] = order[random.permutation(chosen)]
    return order


def distort(scene: np.ndarray, strengths: dict[str, float], random: np.random.Generator) -> np.ndarray:
    """The scene as it was "recorded": frames ordered, pixels spoiled; uint8 RGB (FRAMES or 1, H, W, 3)."""
    clip = scene[frame_order(strengths, random)] if len(scene) > 1 else scene
    height, width = clip.shape[1:3]
    if strength := strengths.get("jitter", 0):
        shifts = random.uniform(-1, 1, (len(clip), 2)) * (2 + 6 * strength) * width / 84
        clip = np.stack(
            [
                cv2.warpAffine(
                    frame, np.float32([[1, 0, x], [0, 1, y]]), (width, height), borderMode=cv2.BORDER_REFLECT
                )
                for frame, (x, y) in zip(clip, shifts, strict=True)
            ]
        )
    if strength := strengths.get("downscaling", 0):
        small = (max(4, round(width / (1.5 + 4 * strength))), max(4, round(height / (1.5 + 4 * strength))))
        clip = np.stack(
            [
                cv2.resize(
                    cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
                    (width, height),
                    interpolation=cv2.INTER_NEAREST,
                )
                for frame in clip
            ]
        )
    if strength := strengths.get("blur", 0):
        sigma = (0.6 + 2.4 * strength) * width / 84
        clip = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip])
    pixels = clip.astype(np.float32)
    if strength := strengths.get("exposure", 0):
        gamma = 1.3 + 2.2 * strength
        pixels = 255 * (pixels / 255) ** (gamma if random.random() < 0.5 else 1 / gamma)
    if strength := strengths.get("cast", 0):
        tint = random.permutation([1.0, 0.0, -1.0])
        pixels = pixels * (1 + (0.1 + 0.55 * strength) * tint)
    if strength := strengths.get("noise", 0):
        pixels = pixels + random.normal(0, 8 + 42 * strength, pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def encode_video(
    clip: np.ndarray, strengths: dict[str, float], ending: str = ".mp4", rate: Fraction = FRAME_RATE
) -> bytes:
    """The clip as H.264 in .mp4 or .mkv, or as VP9 in .webm; how strongly it is compressed follows the strength.

    rate: frames a second.
    """
    memory = io.BytesIO()
    strength = strengths.get("compression", 0)
    # Bit-exact: Matroska and WebM would else carry random identifiers.
    options = {} if ending == ".mp4" else {"fflags": "+bitexact"}
    with av.open(memory, "w", format=CONTAINERS[ending], options=options) as container:
        stream = container.add_stream("libvpx-vp9" if ending == ".webm" else "libx264", rate=rate)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = "yuv420p"
        if ending == ".webm":
            crf = round(34 + 29 * strength) if strength else 20
            stream.bit_rate = 0  # constant quality
            stream.options = {"crf": str(crf), "deadline": "good", "cpu-used": "4", "threads": "1"}
        else:
            crf = 28 + 23 * strength if strength else 18
            # x264's assembly reads a few uninitialised bytes: without it, and on one thread, a seed gives the same file
            stream.options = {"crf": f"{crf:.2f}", "preset": "veryfast", "threads": "1", "x264-params": "no-asm=1"}
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return memory.getvalue()


def encode_image(clip: np.ndarray, strengths: dict[str, float], ending: str = ".jpg") -> bytes:
    """The first frame as a JPEG: quality 95 where it is not compressed, 40..4 with the strength; .png of that JPEG."""
    quality = round(40 - 36 * strengths["compression"]) if strengths.get("compression") else 95
    picture = cv2.cvtColor(clip[0], cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if done and ending == ".png":
        done, data = cv2.imencode(".png", cv2.imdecode(data, cv2.IMREAD_COLOR))
    if not done:
        raise RuntimeError(f"OpenCV could not encode an image of shape {clip.shape}")
    return data.tobytes()
