"""Models made from a JSON schema, which refuse what the models that it was made of refuse.

They know keys, types, choices and bounds, not what validators say. What a schema cannot say as
pydantic does (unions that no name tells apart) may hold anything.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

JsonSchema = dict[str, Any]

_PLAIN = {"string": str, "integer": int, "number": float, "boolean": bool}
_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "pattern": "pattern",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())


def model_from_schema(schema: JsonSchema) -> type[BaseModel]:
    """The model of an object's schema; it is for `read_model`, its values are not used."""
    return _Maker(schema["$defs"]).model(schema["title"], schema)


class _Maker:
    def __init__(self, definitions: JsonSchema) -> None:
        self._definitions = definitions
        self._made: dict[str, Any] = {}

    def model(self, name: str, of: JsonSchema) -> type[BaseModel]:
        required = of.get("required", ())
        fields: Any = {
            key: (self._type(field), _field(field, required=key in required))
            for key, field in of["properties"].items()
        }
        return create_model(name, __base__=_Strict, **fields)

    def _type(self, of: JsonSchema) -> Any:  # noqa: ANN401 - a type
        if "$ref" in of:
            return self._named(of["$ref"].rpartition("/")[2])
        if "discriminator" in of:
            first, *others = of["oneOf"]
            choice = self._type(first)
            for one in others:
                choice = choice | self._type(one)
            return Annotated[choice, Field(discriminator=of["discriminator"]["propertyName"])]
        if "anyOf" in of:
            return self._optional(of["anyOf"])
        if "const" in of or "enum" in of:
            return Literal[*of.get("enum", [of.get("const")])]  # pyright: ignore[reportInvalidTypeForm] - known at run time alone
        if of.get("type") == "array":
            return self._array(of)
        plain = None if "format" in of else _PLAIN.get(of.get("type", ""))
        return _bounded(plain, of) if plain else Any

    def _named(self, name: str) -> Any:  # noqa: ANN401 - a type
        if name not in self._made:
            of = self._definitions[name]
            self._made[name] = self.model(name, of) if "properties" in of else self._type(of)
        return self._made[name]

    def _optional(self, choices: list[JsonSchema]) -> Any:  # noqa: ANN401 - a type
        one, *others = choices
        return self._type(one) | None if others == [{"type": "null"}] else Any

    def _array(self, of: JsonSchema) -> Any:  # noqa: ANN401 - a type
        if "prefixItems" in of:  # its length is in the type
            return tuple[*(self._type(one) for one in of["prefixItems"])]  # pyright: ignore[reportInvalidTypeForm] - known at run time alone
        return _bounded(tuple[self._type(of.get("items", {})), ...], of)


def _field(of: JsonSchema, *, required: bool) -> Any:  # noqa: ANN401 - as pydantic's Field
    description = of.get("description")
    return Field(description=description) if required else Field(None, description=description)


def _bounded(kind: Any, of: JsonSchema) -> Any:  # noqa: ANN401 - types
    bounds: Any = {ours: of[theirs] for theirs, ours in _BOUNDS.items() if theirs in of}
    return Annotated[kind, Field(**bounds)] if bounds else kind
