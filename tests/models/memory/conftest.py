import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Bytes of all storages that operations make and that are still alive."""

    def __init__(self):
        super().__init__()
        self.peak = 0
        self._known: dict[int, tuple[StorageWeakRef, int]] = {}
        self._bytes = 0

    def ignore(self, tensors):
        """Leaves out what is there already: a view of it is no new storage."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self._known[storage._cdata] = (StorageWeakRef(storage), 0)

    @property
    def now(self):
        for key in [key for key, (storage, _) in self._known.items() if storage.expired()]:
            self._bytes -= self._known.pop(key)[1]
        return self._bytes

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        results = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(results):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        if self._bytes > self.peak:
            self.peak = max(self.peak, self.now)
        return results

    def _add(self, storage):
        old, size = self._known.get(storage._cdata, (None, 0))
        if old is not None:
            if not old.expired():
                return
            self._bytes -= size
        self._known[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self._bytes += storage.nbytes()


@pytest.fixture
def live_bytes():
    return LiveBytes()
