"""vqa-lib: teach vision-language models to judge video quality (VQ-Insight, VQAThinker, FingER)."""

__version__ = "0.1.0"
