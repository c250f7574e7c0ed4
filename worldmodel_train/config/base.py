"""The base class of every configuration."""

from pydantic import BaseModel, ConfigDict


class StrictConfig(BaseModel):
    """A frozen, keyword-only configuration that refuses unknown keys.

    A `ValueError` raised in a validator should name the key, the value and the remedy; the recipe
    reader adds file and line.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
