"""What Trainyard's program declares for a stack, recorded from the program itself."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi

from components.environment import Environment
from infra.platform import Platform
from stacks.settings import Stack
from tests.components.recorder import Made, Recorder, record

_SET_BY_THE_SDK = {"apiVersion", "kind"}
_KUBECONFIG = "ref:azure-native:containerservice:ManagedCluster::cluster#fqdn"
"""Any output of the cluster will do in its place: unknown in a first preview, as the real one is."""


@dataclass
class References(Recorder):
    """Answers with references, `ref:<type>::<name>#<output>`, so that they can be found again in others' inputs."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """As the recorder does, with references for the outputs that other resources take."""
        _, outputs = super().new_resource(args)
        this = f"ref:{args.typ}::{args.name}"
        named = {"name": "name", "principalId": "principal_id", "clientId": "client_id"}
        outputs |= {key: f"{this}#{output}" for key, output in named.items() if key in outputs}
        return f"{this}#id", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """As the recorder does, with a reference for the kubeconfig."""
        if args.token.endswith(":listManagedClusterUserCredentials"):
            encoded = base64.b64encode(_KUBECONFIG.encode()).decode()
            return {"kubeconfigs": [{"name": "clusterUser", "value": encoded}]}, []
        return super().call(args)


def write_declarations(path: Path, settings: Stack, environment: Environment) -> int:
    """Record a stack's resources. The SDK registers one only after what it refers to, so the order will do.

    Returns:
        How many there are.
    """
    found = record(lambda: Platform("trainyard", environment=environment, settings=settings), References())
    custom = [made for made in found.made if not made.type.startswith(("trainyard:", "pulumi:pulumi:"))]
    keys = {f"{made.type}::{made.name}" for made in custom}
    declarations = [
        {
            "type": made.type,
            "name": made.name,
            "inputs": _arguments(made),
            "ignoreChanges": made.ignore_changes,
            "deleteBeforeReplace": made.delete_before_replace,
            "provider": _key(made.provider) if made.provider else None,
            "dependsOn": _only_named(made, keys),
        }
        for made in custom
    ]
    path.write_text(json.dumps(declarations))
    return len(declarations)


def _arguments(made: Made) -> dict[str, Any]:
    """Inputs that a program gives: a Kubernetes object's version and kind follow from its class."""
    if not made.type.startswith("kubernetes:"):
        return made.inputs
    return {key: value for key, value in made.inputs.items() if key not in _SET_BY_THE_SDK}


def _only_named(made: Made, keys: set[str]) -> list[str]:
    """Dependencies that no input refers to: a hand-written program names only these."""
    text = json.dumps(made.inputs)
    found = {key for urn in made.dependencies if (key := _key(urn)) in keys}
    return sorted(key for key in found if f"ref:{key}#" not in text)


def _key(urn: str) -> str:
    """`<type>::<name>` of a URN or of a provider reference (a URN and an id)."""
    parts = urn.split("::")
    return f"{parts[2].rsplit('$', 1)[-1]}::{parts[3]}"
