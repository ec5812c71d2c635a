"""The one list of modules that serve resource types and routes. Importing a module registers what it serves."""

from __future__ import annotations

from importlib import import_module

MODULES = (
    "sandbox.azure.operation_routes",
    "sandbox.azure.resource_groups",
    "sandbox.azure.deployments",
    "sandbox.azure.virtual_networks",
    "sandbox.azure.peerings",
    "sandbox.azure.network_security",
    "sandbox.azure.public_addresses",
    "sandbox.azure.private_dns",
    "sandbox.azure.private_links",
    "sandbox.azure.private_dns_zone_groups",
    "sandbox.azure.identities",
    "sandbox.azure.registries",
    "sandbox.azure.storage_accounts",
    "sandbox.azure.storage_services",
    "sandbox.azure.lustre",
    "sandbox.azure.role_definitions",
    "sandbox.azure.role_assignments",
    "sandbox.azure.skus",
    "sandbox.azure.quota",
    "sandbox.azure.placement",
    "sandbox.azure.scale_sets",
    "sandbox.azure.faults",
    "sandbox.azure.machines",
    "sandbox.azure.disks",
    "sandbox.azure.aks",
    "sandbox.azure.agent_pools",
    "sandbox.azure.maintenance",
    "sandbox.azure.kubernetes_access",
)


def load() -> None:
    """Import every module of the list; a second call does nothing."""
    for module in MODULES:
        import_module(module)
