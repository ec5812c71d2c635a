"""Reads property trees out of Azure's own `azure-mgmt-*` packages and writes them to `data/schemas/`.

Run as `python -m sandbox.azure.schema_source` after a package was upgraded; a test compares the files with what
is installed. Files, because importing these packages takes seconds and reading the few trees we need takes
milliseconds. Both generations of Microsoft's generator are read: `_attribute_map` with dotted names that
flatten, and `_Model` classes with `rest_field`.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, cast

FOLDER = Path(__file__).parent / "data" / "schemas"

SOURCES: dict[str, dict[str, str]] = {
    "azure.mgmt.resource.resources": {"Microsoft.Resources/resourceGroups": "ResourceGroup"},
    "azure.mgmt.resource.deployments": {"Microsoft.Resources/deployments": "Deployment"},
    "azure.mgmt.network": {
        "Microsoft.Network/virtualNetworks": "VirtualNetwork",
        "Microsoft.Network/virtualNetworks/subnets": "Subnet",
        "Microsoft.Network/virtualNetworks/virtualNetworkPeerings": "VirtualNetworkPeering",
        "Microsoft.Network/networkSecurityGroups": "NetworkSecurityGroup",
        "Microsoft.Network/publicIPAddresses": "PublicIPAddress",
        "Microsoft.Network/natGateways": "NatGateway",
        "Microsoft.Network/networkInterfaces": "NetworkInterface",
        "Microsoft.Network/privateEndpoints": "PrivateEndpoint",
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": "PrivateDnsZoneGroup",
        "Microsoft.Network/loadBalancers": "LoadBalancer",
    },
    "azure.mgmt.privatedns": {
        "Microsoft.Network/privateDnsZones": "PrivateZone",
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "VirtualNetworkLink",
        "Microsoft.Network/privateDnsZones/A": "RecordSet",
    },
    "azure.mgmt.containerregistry": {"Microsoft.ContainerRegistry/registries": "Registry"},
    "azure.mgmt.msi.v2024_11_30": {
        "Microsoft.ManagedIdentity/userAssignedIdentities": "Identity",
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials": "FederatedIdentityCredential",
    },
    "azure.mgmt.authorization.v2022_04_01": {
        "Microsoft.Authorization/roleAssignments": "RoleAssignmentCreateParameters",
        "Microsoft.Authorization/roleDefinitions": "RoleDefinition",
    },
    "azure.mgmt.containerservice": {
        "Microsoft.ContainerService/managedClusters": "ManagedCluster",
        "Microsoft.ContainerService/managedClusters/agentPools": "AgentPool",
        "Microsoft.ContainerService/managedClusters/maintenanceConfigurations": "MaintenanceConfiguration",
    },
    "azure.mgmt.storage": {
        "Microsoft.Storage/storageAccounts": "StorageAccountCreateParameters",
        "Microsoft.Storage/storageAccounts/fileServices": "FileServiceProperties",
        "Microsoft.Storage/storageAccounts/fileServices/shares": "FileShare",
        "Microsoft.Storage/storageAccounts/blobServices": "BlobServiceProperties",
        "Microsoft.Storage/storageAccounts/blobServices/containers": "BlobContainer",
        "Microsoft.Storage/storageAccounts/privateEndpointConnections": "PrivateEndpointConnection",
    },
    "azure.mgmt.storagecache": {"Microsoft.StorageCache/amlFilesystems": "AmlFilesystem"},
    "azure.mgmt.compute": {
        "Microsoft.Compute/proximityPlacementGroups": "ProximityPlacementGroup",
        "Microsoft.Compute/capacityReservationGroups": "CapacityReservationGroup",
        "Microsoft.Compute/capacityReservationGroups/capacityReservations": "CapacityReservation",
        "Microsoft.Compute/virtualMachineScaleSets": "VirtualMachineScaleSet",
        "Microsoft.Compute/virtualMachineScaleSets/virtualMachines": "VirtualMachineScaleSetVM",
        "Microsoft.Compute/virtualMachines": "VirtualMachine",
        "Microsoft.Compute/disks": "Disk",
    },
}
"""Package to the resource types it describes, each with the class that a PUT's body must fit."""

SHOWN: dict[str, str] = {"StorageAccountCreateParameters": "StorageAccount"}
"""A body's class to the one that a GET shows, where they differ: what only the latter has is read-only."""

FREE_ENUMS = frozenset({"VirtualMachineSizeTypes"})
"""Lists that Azure itself does not hold to: sizes change faster than packages."""

Encoded = dict[str, Any]
_SCALARS: dict[str, str] = {
    "str": "str", "bool": "bool", "int": "int", "float": "float", "long": "int", "bytes": "str", "bytearray": "str",
    "iso-8601": "str", "date": "str", "duration": "str", "time": "str", "base64": "str", "rfc-1123": "str",
    "datetime": "str", "timedelta": "str",
}  # fmt: skip


class _Package:
    """The models of one package, reached from the classes that `SOURCES` names."""

    def __init__(self, name: str) -> None:
        self._models = importlib.import_module(f"{name}.models")
        self.encoded: dict[str, Encoded] = {}

    def add(self, class_name: str) -> str:
        """Encode a class and all it leads to; its name."""
        if class_name in self.encoded:
            return class_name
        model = getattr(self._models, class_name)
        encoded: Encoded = self.encoded.setdefault(class_name, {"fields": {}})
        fields = self._old(model) if hasattr(model, "_attribute_map") else self._new(model)
        for name, field in fields:
            encoded["fields"][name] = field
        if "properties" in encoded["fields"] and _is_flattened(model):
            encoded["fields"]["properties"]["flat"] = True
        if not encoded["fields"] or encoded["fields"].pop("", None):
            encoded["open"] = True
        return class_name

    def add_shown(self, class_name: str, shown_name: str) -> None:
        """Add as read-only what the class that a GET shows has beyond the class of the body."""
        ours = self.encoded[class_name]["fields"]
        for name, field in self._new(getattr(self._models, shown_name)):
            if name not in ours:
                ours[name] = {"kind": "any", "ro": True}
            elif name == "properties":
                self.add_shown(ours[name]["model"], field["model"])

    def _new(self, model: Any) -> Iterator[tuple[str, Encoded]]:
        for owner in reversed(model.__mro__):
            annotations = cast(Mapping[str, Any], inspect.get_annotations(owner))
            for attribute, annotation in annotations.items():
                rest = owner.__dict__.get(attribute)
                if attribute.startswith("_") or not hasattr(rest, "_rest_name_input"):
                    continue
                visibility = cast(list[str] | None, rest._visibility)
                field = self._annotated(annotation, expand=visibility != ["read"])
                if visibility == ["read"]:
                    field["ro"] = True
                elif not field.pop("optional", False):
                    field["req"] = True
                field.pop("optional", None)
                yield rest._rest_name_input or attribute, field

    def _annotated(self, annotation: Any, *, expand: bool) -> Encoded:
        """A field from a type annotation; `optional` tells of None."""
        annotation = self._resolved(annotation)
        origin = typing.get_origin(annotation)
        if origin is typing.Literal:
            return {"kind": "scalar", "enum": [getattr(one, "value", one) for one in typing.get_args(annotation)]}
        arguments = [self._resolved(one) for one in typing.get_args(annotation)]
        if origin in (typing.Union, types.UnionType):
            optional = type(None) in arguments
            inner = [one for one in arguments if one is not type(None)]
            enums = [one for one in inner if inspect.isclass(one) and issubclass(one, Enum)]
            field = self._annotated((enums or inner)[0] if enums or len(inner) == 1 else Any, expand=expand)
            return {**field, "optional": True} if optional else field
        if origin in (list, tuple):
            return _container("list", self._annotated(arguments[0], expand=expand))
        if origin is dict:
            return _container("dict", self._annotated(arguments[1], expand=expand))
        return self._single(annotation, expand=expand)

    def _single(self, annotation: Any, *, expand: bool) -> Encoded:
        if inspect.isclass(annotation) and issubclass(annotation, Enum):
            free = annotation.__name__ in FREE_ENUMS
            return {"kind": "scalar"} if free else {"kind": "scalar", "enum": [str(one.value) for one in annotation]}
        if inspect.isclass(annotation) and hasattr(self._models, annotation.__name__):
            return {"kind": "model", "model": self.add(annotation.__name__)} if expand else {"kind": "any"}
        name = getattr(annotation, "__name__", "")
        if name in _SCALARS:
            return {"kind": "scalar", **({"type": _SCALARS[name]} if _SCALARS[name] != "str" else {})}
        return {"kind": "any"}

    def _resolved(self, annotation: Any) -> Any:
        if isinstance(annotation, typing.ForwardRef):
            annotation = annotation.__forward_arg__
        if not isinstance(annotation, str):
            return annotation
        scope = {**vars(typing), "_models": self._models, "datetime": importlib.import_module("datetime")}
        return eval(annotation, scope)

    def _old(self, model: Any) -> Iterator[tuple[str, Encoded]]:
        rules = cast(Mapping[str, Mapping[str, Any]], model._validation)
        annotations = cast(Mapping[str, Any], typing.cast(Callable[..., None], model.__init__).__annotations__)
        nested: dict[str, Encoded] = {}
        for attribute, entry in cast(Mapping[str, Mapping[str, str]], model._attribute_map).items():
            rule = rules.get(attribute, {})
            field = self._wire(entry["type"], expand=not rule.get("readonly"))
            enum = (
                self._annotated(annotations[attribute], expand=False).get("enum") if attribute in annotations else None
            )
            if enum:
                field["enum"] = enum
            if rule.get("readonly"):
                field["ro"] = True
            elif rule.get("required"):
                field["req"] = True
            head, dot, tail = re.sub(r"\\\.", "\0", entry["key"]).partition(".")
            if not dot:
                yield head.replace("\0", "."), field
            else:
                below = nested.setdefault(head, {"fields": {}})
                below["fields"][tail.replace("\0", ".")] = field
        for head, below in nested.items():
            name = f"{model.__name__}.{head}"
            self.encoded[name] = below
            needed = any(field.get("req") for field in below["fields"].values())
            yield head, {"kind": "model", "model": name, "flat": True, **({"req": True} if needed else {})}

    def _wire(self, written: str, *, expand: bool) -> Encoded:
        """A field from the old generator's type string: `str`, `[Sku]`, `{str}`."""
        if written[0] in "[{":
            return _container("list" if written[0] == "[" else "dict", self._wire(written[1:-1], expand=expand))
        if written in _SCALARS:
            return {"kind": "scalar", **({"type": _SCALARS[written]} if _SCALARS[written] != "str" else {})}
        if not hasattr(self._models, written) or not expand:
            return {"kind": "any"}
        found = getattr(self._models, written)
        return self._single(found, expand=True)


def _container(kind: str, item: Encoded) -> Encoded:
    """A list or object of items; items that are containers themselves are left unchecked."""
    item.pop("optional", None)
    if item["kind"] in ("list", "dict"):
        return {"kind": kind, "item": "any"}
    described = {key: value for key, value in item.items() if key != "kind"}
    return {"kind": kind, "item": item["kind"], **described}


def _is_flattened(model: type[Any]) -> bool:
    return any(name.endswith("__flattened_items") for name in dir(model))


def read(package: str) -> Encoded:
    """The trees of one package: `{"types": {resource type: model}, "models": {model: {"fields": …}}}`."""
    models = _Package(package)
    found = {resource_type: models.add(name) for resource_type, name in SOURCES[package].items()}
    for name in set(found.values()) & set(SHOWN):
        models.add_shown(name, SHOWN[name])
    return {"types": found, "models": dict(sorted(models.encoded.items()))}


def file_of(package: str) -> Path:
    """Where the trees of a package are kept."""
    parts = [part for part in package.removeprefix("azure.mgmt.").split(".") if not part.startswith("v2")]
    return FOLDER / f"{'_'.join(parts)}.json"


def main() -> None:
    """Write every file anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for package in SOURCES:
        file_of(package).write_text(
            json.dumps(read(package), indent=None, separators=(",", ":"), sort_keys=True) + "\n"
        )


if __name__ == "__main__":
    main()
