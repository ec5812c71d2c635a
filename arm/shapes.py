"""The inputs and outputs that the azure-native SDK gives a resource type, as a tree of names.

Read from the SDK's generated classes, so that it is right for the pinned version. It says what is nested, a list
or a map; it does not say where in an ARM document a name lies: see `documents.py`.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType, UnionType
from typing import Any, Literal, cast

from arm.ids import UnknownTypeError

ShapeKind = Literal["scalar", "object", "list", "map"]

sdk_types: Any = importlib.import_module("pulumi._types")
"""Where the SDK keeps the camelCase names and types of its classes; it has no public door."""


@dataclass(frozen=True)
class Shape:
    """What one name holds.

    Attributes:
        kind: `scalar` also stands for what the SDK leaves untyped.
        item: of each entry, for a list or a map.
        of: the SDK's class, for an object.
    """

    kind: ShapeKind
    item: Shape | None = None
    of: type | None = None

    @property
    def fields(self) -> Mapping[str, Shape]:
        """An object's names, camelCase; empty for anything else."""
        return _fields(self.of) if self.of is not None else {}


@dataclass(frozen=True)
class ResourceShape:
    """What goes into a resource type and what comes out, `id` apart."""

    inputs: Shape
    outputs: Shape
    required: frozenset[str]


@cache
def resource_shape(token: str) -> ResourceShape:
    """The shape of a resource type, `azure-native:network:Subnet`.

    Raises:
        UnknownTypeError: the SDK has no such class.
    """
    module, name = _module(token)
    resource = getattr(module, name, None)
    arguments = getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args", None)
    if resource is None or arguments is None:
        raise UnknownTypeError(f"pulumi_azure_native has no resource '{token}': compare its spelling with the SDK.")
    return ResourceShape(
        inputs=Shape("object", of=arguments), outputs=Shape("object", of=resource), required=_required(arguments)
    )


@cache
def function_shape(token: str) -> Shape:
    """The outputs of a function, `azure-native:storage:listStorageAccountKeys`.

    Raises:
        UnknownTypeError: the SDK has no such function.
    """
    module, name = _module(token)
    result = getattr(module, f"{name[0].upper()}{name[1:]}Result", None)
    if result is None:
        raise UnknownTypeError(f"pulumi_azure_native has no function '{token}': compare its spelling with the SDK.")
    return Shape("object", of=result)


@cache
def provider_keys() -> frozenset[str]:
    """The configuration keys that the azure-native provider takes."""
    module = importlib.import_module("pulumi_azure_native")
    return frozenset(sdk_types.input_type_py_to_pulumi_names(module.ProviderArgs).values())


def _module(token: str) -> tuple[ModuleType, str]:
    _, _, rest = token.partition(":")
    path, _, name = rest.partition(":")
    try:
        return importlib.import_module(f"pulumi_azure_native.{path.replace('/', '.')}"), name
    except ModuleNotFoundError as missing:
        raise UnknownTypeError(f"pulumi_azure_native has no module for '{token}'.") from missing


def _required(arguments: type) -> frozenset[str]:
    parameters = inspect.signature(arguments.__init__).parameters.values()
    names = sdk_types.input_type_py_to_pulumi_names(arguments)
    return frozenset(
        names[one.name] for one in parameters if one.name in names and one.default is inspect.Parameter.empty
    )


@cache
def _fields(of: type) -> Mapping[str, Shape]:
    if sdk_types.is_input_type(of):
        types = sdk_types.input_type_types(of)
    elif sdk_types.is_output_type(of):
        types = sdk_types.output_type_types(of)
    else:
        types = sdk_types.resource_types(of)
    return {name: _shape(hint) for name, hint in cast(dict[str, Any], types).items()}


def _shape(hint: Any) -> Shape:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, UnionType):
        return _shape_of_union(typing.get_args(hint))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Shape("map", item=_shape(typing.get_args(hint)[1]))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return Shape("list", item=_shape(typing.get_args(hint)[0]))
    if isinstance(hint, type) and (sdk_types.is_input_type(hint) or sdk_types.is_output_type(hint)):
        return Shape("object", of=hint)
    return Shape("scalar")


def _shape_of_union(options: tuple[Any, ...]) -> Shape:
    """The richest of the alternatives: `Awaitable` and `Output` around a type say nothing new about it."""
    shapes = [_shape(option) for option in options]
    return next((shape for shape in shapes if shape.kind != "scalar"), Shape("scalar"))
