"""The one list of modules that serve resource types and routes. Importing a module registers what it serves."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "sandbox.azure.operation_routes",
    "sandbox.azure.resource_groups",
    "sandbox.azure.virtual_networks",
    "sandbox.azure.network_security",
    "sandbox.azure.public_addresses",
)


def load() -> None:
    """Import every module of the list; a second call does nothing."""
    for module in MODULES:
        import_module(module)
