"""A trainer that finds no memory, for tests of what it does then."""

import torch


def run_out(monkeypatch, trainer: type, name: str, calls: set[int]) -> None:
    """The chosen calls of a trainer's method find no memory, once they have done their work."""
    method, made = getattr(trainer, name), []

    def fail(*arguments):
        made.append(0)
        result = method(*arguments)
        if len(made) in calls:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return result

    monkeypatch.setattr(trainer, name, fail)
