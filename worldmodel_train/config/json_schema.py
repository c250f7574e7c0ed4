"""JSON schemas for editors."""

from typing import Any

from pydantic import BaseModel


def editor_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of `model`, where nothing is required and `extends` is allowed.

    A file that extends another may leave out whatever the other says, so an editor cannot know what
    is missing; it knows the keys, their types and their documentation.
    """
    schema = _without_required(model.model_json_schema())
    schema["title"] = "Recipe"
    schema["properties"]["extends"] = {"type": "string", "description": "The recipe to build on."}
    return schema


def _without_required(schema: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(schema, list):
        return [_without_required(item) for item in schema]  # pyright: ignore[reportUnknownVariableType] - any JSON
    if not isinstance(schema, dict):
        return schema
    # a property may itself be called "required": only a list is the keyword
    return {
        key: _without_required(value)
        for key, value in schema.items()  # pyright: ignore[reportUnknownVariableType] - any JSON
        if not (key == "required" and isinstance(value, list))
    }
