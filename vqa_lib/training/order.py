"""In which order an epoch goes through the records."""

import torch


class OrderOfEpoch(torch.utils.data.Sampler):
    """TRL's sampler, each epoch's order from the seed and the epoch alone.

    TRL's own is drawn in a row: a run resumed in its second epoch would go through the order of the first again.
    """

    def __init__(self, sampler, steps_done):
        self.sampler, self.steps_done = sampler, steps_done

    def __iter__(self):
        steps = self.sampler.num_samples // self.sampler.batch_size
        self.sampler.generator.manual_seed(self.sampler.seed + self.steps_done() // steps)
        return iter(self.sampler)

    def __len__(self) -> int:
        return len(self.sampler)
