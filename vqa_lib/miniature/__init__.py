"""The embedded world: small copies of the published data sets, made from nothing but a seed.

`write_miniature` writes them in the published layouts, so the readers in `vqa_lib.datasets` need not know
whether they read a miniature or the real thing. A clip goes scene -> distortions -> opinions -> file.
"""

from vqa_lib.miniature.write import MINIATURES, QUICKSTART, write_miniature

__all__ = ["MINIATURES", "QUICKSTART", "write_miniature"]
