"""Memory of a CPU, counted by the storages that operations make: it has no such counter itself."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Bytes of all storages that operations make and that are still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._known: dict[int, tuple[StorageWeakRef, int]] = {}
        self._bytes = 0

    def ignore(self, tensors: Iterable[Tensor]) -> None:
        """Leaves out what is there already: a view of it is no new storage."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self._known[storage._cdata] = (StorageWeakRef(storage), 0)  # noqa: SLF001

    @property
    def now(self) -> int:
        """Bytes that are alive."""
        for key in [key for key, (storage, _) in self._known.items() if storage.expired()]:
            self._bytes -= self._known.pop(key)[1]
        return self._bytes

    def __torch_dispatch__(
        self,
        operation: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        results = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(results):
            if isinstance(tensor, Tensor):
                self._add(tensor)
        if self._bytes > self.peak:
            self.peak = max(self.peak, self.now)
        return results

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata  # noqa: SLF001
        old, size = self._known.get(key, (None, 0))
        if old is not None:
            if not old.expired():
                return
            self._bytes -= size
        self._known[key] = (StorageWeakRef(storage), storage.nbytes())
        self._bytes += storage.nbytes()
