"""The property tree of every resource type's body, and what is refused by it.

The trees come from Azure's own packages (`schema_source`). Unknown names, wrong JSON types, unknown enum
values and missing required properties are refused; read-only properties are ignored, as Azure does. Enum
values are compared without regard to case and stored as Azure spells them. Microsoft marks nearly every enum
as extensible, which tells *clients* to expect new values; the services themselves refuse unknown ones, so
they are refused here. Newtonsoft's leniency (`"true"` for a boolean) is not imitated: a program must not
come to depend on it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

from sandbox.azure.errors import ArmError

_FOLDER = Path(__file__).parent / "data" / "schemas"
_SCALARS: dict[str, type] = {"str": str, "bool": bool, "int": int, "float": float}
_ALWAYS = frozenset({"id", "name", "type"})
"""Names that Resource Manager itself takes out of any body before the service sees it."""

Kind = Literal["model", "list", "dict", "scalar", "any"]


@dataclass(frozen=True)
class Field:
    """One property.

    Attributes:
        name: as on the wire.
        kind: of the property; for `list` and `dict`, `item` is the kind of what is in it.
        model: of the property, or of the items.
        scalar: the Python type of a scalar, or of scalar items.
        required: a PUT without it is refused.
        read_only: Azure sets it; in a request it is ignored.
        enum: allowed values, of a scalar or of scalar items.
        flattened: the generators, and Pulumi, lift its properties one level up.
    """

    name: str
    kind: Kind
    item: Kind | None = None
    model: Model | None = None
    scalar: type = str
    required: bool = False
    read_only: bool = False
    enum: tuple[str, ...] | None = None
    flattened: bool = False


class Model:
    """An object's properties.

    Attributes:
        name: Azure's class name.
        open: any further property is allowed.
        fields: wire name to property; read lazily, as models refer to each other in circles.
    """

    def __init__(self, name: str, package: _Package) -> None:
        self.name = name
        self._encoded: dict[str, Any] = package.models[name]
        self._package = package
        self._fields: Mapping[str, Field] | None = None
        self.open = bool(self._encoded.get("open"))

    @property
    def fields(self) -> Mapping[str, Field]:
        """Wire name to property."""
        if self._fields is None:
            encoded = cast(dict[str, dict[str, Any]], self._encoded["fields"])
            self._fields = MappingProxyType({key: self._field(key, value) for key, value in encoded.items()})
        return self._fields

    def _field(self, name: str, encoded: dict[str, Any]) -> Field:
        return Field(
            name,
            encoded["kind"],
            encoded.get("item"),
            self._package.model(encoded["model"]) if "model" in encoded else None,
            _SCALARS[encoded.get("type", "str")],
            bool(encoded.get("req")),
            bool(encoded.get("ro")),
            tuple(encoded["enum"]) if "enum" in encoded else None,
            bool(encoded.get("flat")),
        )


class _Package:
    """The trees of one file."""

    def __init__(self, file: Path) -> None:
        content = json.loads(file.read_text())
        self.types: dict[str, str] = content["types"]
        self.models: dict[str, dict[str, Any]] = content["models"]
        self._made: dict[str, Model] = {}

    def model(self, name: str) -> Model:
        if name not in self._made:
            self._made[name] = Model(name, self)
        return self._made[name]


@cache
def _index() -> dict[str, tuple[_Package, str]]:
    packages = [_Package(file) for file in sorted(_FOLDER.glob("*.json"))]
    return {key.lower(): (package, name) for package in packages for key, name in package.types.items()}


def model_for(resource_type: str) -> Model:
    """The tree of a resource type's body, for example of `Microsoft.Network/virtualNetworks/subnets`.

    Raises:
        KeyError: no tree is kept for that type.
    """
    package, name = _index()[resource_type.lower()]
    return package.model(name)


def validate(resource_type: str, body: Mapping[str, Any]) -> None:
    """Refuse a PUT's body that Azure would refuse.

    Raises:
        ArmError: 400 `InvalidRequestContent`; the first fault in the message, all of them in the details.
    """
    cleaned(resource_type, body)


def cleaned(resource_type: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body as a service reads it: without read-only and null properties, enums in Azure's spelling.

    Raises:
        ArmError: as `validate`.
    """
    faults: list[_Fault] = []
    result = _object(model_for(resource_type), body, "", faults, top=True)
    if faults:
        raise ArmError(
            400,
            "InvalidRequestContent",
            f"The request content was invalid and could not be deserialized: '{faults[0].message}'",
            target=faults[0].path,
            details=[
                {"code": "InvalidRequestContent", "target": fault.path, "message": fault.message} for fault in faults
            ],
        )
    return result


@dataclass(frozen=True)
class _Fault:
    path: str
    message: str


def _object(
    model: Model, given: Mapping[str, Any], at: str, faults: list[_Fault], *, top: bool = False
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    by_lower = {name.lower(): field for name, field in model.fields.items()}
    for key, value in given.items():
        path = f"{at}.{key}" if at else key
        field = model.fields.get(key) or by_lower.get(key.lower())
        if field is None:
            if model.open:
                result[key] = value
            elif not (top and key in _ALWAYS):
                faults.append(_Fault(path, _unknown(model, key, path)))
        elif not field.read_only and value is not None:
            result[field.name] = _value(field, value, path, faults)
    for field in model.fields.values():
        if (
            field.required
            and not field.read_only
            and field.name not in result
            and not (top and field.name == "location")
        ):
            path = f"{at}.{field.name}" if at else field.name
            faults.append(
                _Fault(
                    path,
                    f"Required property '{field.name}' not found in JSON, or null, on object of type '{model.name}'. "
                    f"Path '{path}'.",
                )
            )
    return result


def _value(field: Field, value: Any, at: str, faults: list[_Fault]) -> Any:
    match field.kind:
        case "any":
            return value
        case "list":
            if not isinstance(value, list):
                return _wrong(value, "an array", at, faults)
            items = cast(list[Any], value)
            return [_item(field, item, f"{at}[{index}]", faults) for index, item in enumerate(items)]
        case "dict":
            if not isinstance(value, dict):
                return _wrong(value, "an object", at, faults)
            table = cast(dict[str, Any], value)
            return {key: _item(field, item, f"{at}['{key}']", faults) for key, item in table.items()}
        case _:
            return _one(field.kind, field, value, at, faults)


def _item(field: Field, value: Any, at: str, faults: list[_Fault]) -> Any:
    if value is None:
        if field.kind == "list":
            return _wrong(value, "no null in an array", at, faults)
        return {} if field.item == "model" else None
    return value if field.item is None else _one(field.item, field, value, at, faults)


def _one(kind: Kind, field: Field, value: Any, at: str, faults: list[_Fault]) -> Any:
    if kind == "model" and field.model is not None:
        if not isinstance(value, dict):
            return _wrong(value, f"an object of type '{field.model.name}'", at, faults)
        return _object(field.model, cast(dict[str, Any], value), at, faults)
    if kind == "scalar":
        return _scalar(field, value, at, faults)
    return value


def _scalar(field: Field, value: Any, at: str, faults: list[_Fault]) -> Any:
    fits = {
        str: isinstance(value, str),
        bool: isinstance(value, bool),
        int: isinstance(value, int) and not isinstance(value, bool),
        float: isinstance(value, (int, float)) and not isinstance(value, bool),
    }
    if not fits[field.scalar]:
        words = {str: "System.String", bool: "System.Boolean", int: "System.Int32", float: "System.Double"}
        return _wrong(value, f"type '{words[field.scalar]}'", at, faults)
    if field.enum is None:
        return value
    wanted = str(value).replace(" ", "").lower()
    for allowed in field.enum:
        if allowed.replace(" ", "").lower() == wanted:
            return allowed
    near = _nearest(str(value), field.enum)
    faults.append(
        _Fault(
            at,
            f"Error converting value \"{value}\" at path '{at}': it must be one of "
            f"{', '.join(field.enum)}.{f' Did you mean {near!r}?' if near else ''}",
        )
    )
    return value


def _wrong(value: Any, wanted: str, at: str, faults: list[_Fault]) -> Any:
    shown = json.dumps(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    faults.append(_Fault(at, f"Error converting value {shown} to {wanted}. Path '{at}'."))
    return value


def _unknown(model: Model, key: str, path: str) -> str:
    near = _nearest(key, [name for name, field in model.fields.items() if not field.read_only])
    hint = f" Did you mean '{near}'?" if near else ""
    return f"Could not find member '{key}' on object of type '{model.name}'. Path '{path}'.{hint}"


def _nearest(word: str, words: tuple[str, ...] | list[str]) -> str | None:
    lowered = {one.lower(): one for one in words}
    found = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None
