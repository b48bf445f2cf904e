"""Pages that hold everything they show: data, moving pictures and the script that lets people choose."""

import base64
import html
from pathlib import Path

import cv2
import jinja2
import numpy as np
from IPython.display import HTML

from vqa_lib.frame_cache import FrameCache
from vqa_lib.paths import resolve
from vqa_lib.video import FramePolicy, jpeg

STRIP_HEIGHT = 160  # pixels of a frame in a page; smaller frames stay as they are
TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("vqa_lib.viewing"), autoescape=True, undefined=jinja2.StrictUndefined
)


def strip(frames: np.ndarray) -> dict:
    """The frames of a clip side by side in one JPEG, which the page plays frame by frame.

    frames: (T, H, W, 3), uint8, RGB. Returns image (a data address), count, width and height of a frame in pixels.

    Example:
        >>> found = strip(np.zeros((8, 56, 84, 3), np.uint8))
        >>> found["count"], found["width"], found["height"]
        (8, 84, 56)
    """
    height, width = frames.shape[1:3]
    if height > STRIP_HEIGHT:
        width, height = max(1, round(width * STRIP_HEIGHT / height)), STRIP_HEIGHT
        frames = np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames])
    image = base64.b64encode(jpeg(np.concatenate(list(frames), axis=1))).decode()
    return {"image": f"data:image/jpeg;base64,{image}", "count": len(frames), "width": width, "height": height}


def clip_strip(path: str | Path, kind: str, policy: FramePolicy, store: FrameCache) -> dict:
    """The strip of an image or a video, with the frames that a model saw of it.

    Raises:
        VideoError: the file cannot be read.
    """
    return strip(store.get(resolve(path), kind, policy).pixels)


def render(template: str, **content) -> str:
    """A page of `templates/`, whole in itself."""
    return TEMPLATES.get_template(template).render(**content)


def framed(page: str, height: int) -> HTML:
    """A page as a part of a notebook: in a frame, so that neither styles nor scripts touch the notebook's."""
    frame = f'<iframe srcdoc="{html.escape(page)}" style="width: 100%; height: {height}px; border: 0"></iframe>'
    return HTML(f"<div>{frame}</div>")  # a frame alone would make IPython recommend another class, for addresses
