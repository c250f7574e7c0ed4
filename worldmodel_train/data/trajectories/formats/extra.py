"""Packages that only recorded episodes need, which come with the extra `robots`."""

from importlib.util import find_spec

from worldmodel_train.data.packing.errors import PackError


def require(package: str, what: str) -> None:
    """Raises PackError where a package is not installed."""
    if find_spec(package) is None:
        raise PackError(
            f"--format {what}: needs {package}; run `pip install 'worldmodel-train[robots]'`"
        )
