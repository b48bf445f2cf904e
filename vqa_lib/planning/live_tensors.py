"""Count the bytes of tensors that are alive, real ones and those of PyTorch's fake mode, which take no memory."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveTensors(TorchDispatchMode):
    """Within it, `now` is the bytes of all tensor storages made or added and not yet freed, `peak` the most so far."""

    def __init__(self):
        super().__init__()
        self.known, self.now, self.peak = {}, 0, 0

    def restart(self) -> int:
        """The peak, which then begins anew."""
        peak, self.peak = self.peak, self.now
        return peak

    def add(self, tensor: torch.Tensor) -> None:
        """Count a tensor that was made before."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:
            return
        self.known[key] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self.known.pop(key)

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        output = function(*arguments, **(keywords or {}))
        for tensor in tree_iter(output):
            if isinstance(tensor, torch.Tensor):
                self.add(tensor)
        return output
