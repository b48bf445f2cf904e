"""The commands of `vqa` that need no notebook, by subject; `vqa_lib.cli` puts them together."""
