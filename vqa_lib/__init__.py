"""vqa-lib: teach vision-language models to judge video quality (VQ-Insight, VQAThinker, FingER)."""

import warnings

# tqdm, as transformers imports it, asks every notebook for widgets; executed notebooks are better without.
warnings.filterwarnings("ignore", message="IProgress not found")

__version__ = "0.1.0"
