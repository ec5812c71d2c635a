"""What is to be done about each unfinished or unknown resource. Pure decisions, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from arm.documents import body_fields, inputs_within, outputs_of
from arm.ids import IncompleteInputsError, UnknownTypeError, ancestors, arm_type
from recovery.state import AZURE, Adoption, Json, Pending, State

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Stands in previews for a value not known before the deployment."""
TAGS = ("trainyard-project", "trainyard-stack")

_RUNNING = frozenset(
    {"accepted", "creating", "deleting", "inprogress", "pending", "provisioning", "running", "scaling", "updating"}
)
_FAILED = frozenset({"failed", "canceled", "cancelled"})


@dataclass(frozen=True)
class Candidate:
    """A resource that may be on Azure without being in the state.

    Attributes:
        resource: its entry, as pending operation or preview give it.
        resource_id: under which Azure would know it.
        api_version: with which to ask for it.
    """

    resource: Json
    resource_id: str
    api_version: str

    @property
    def token(self) -> str:
        """`azure-native:network:Subnet`."""
        return str(self.resource["type"])

    @property
    def name(self) -> str:
        """Type and logical name, for people."""
        return f"{self.token.split(':')[-1]} {str(self.resource['urn']).rpartition('::')[2]}"


@dataclass
class Plan:
    """What to do, and what stands in the way.

    Attributes:
        adopt: resources that Azure has and the state lacks.
        forget: pending operations that left nothing behind, or nothing that matters: their names.
        refused: one message for each thing that a person has to decide; nothing is done then.
        surroundings: entries of what `adopt` belongs to in the program and the state lacks.
    """

    adopt: list[Adoption] = field(default_factory=list[Adoption])
    forget: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    surroundings: list[Json] = field(default_factory=list[Json])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done, and nothing stands in the way."""
        return not (self.adopt or self.forget or self.refused)


def is_running(document: Mapping[str, Any]) -> bool:
    """Whether Azure is still at work on the resource."""
    return _provisioning_state(document) in _RUNNING


def pending_candidate(pending: Pending, state: State, subscription: str | None) -> Candidate | None:
    """What to ask Azure for because of a pending operation; None when there is nothing to ask.

    Only creations leave something that the state does not know; updates and deletions are of resources that it
    holds, and the next deployment does them again.

    Raises:
        IncompleteInputsError: the inputs do not say where the resource lies.
        UnknownTypeError: a type of azure-native that we have no path for.
    """
    if pending.kind != "creating" or not pending.type.startswith(AZURE):
        return None
    return _candidate(pending.resource, state, subscription)


def planned_candidates(events: Iterable[Json], state: State, subscription: str | None) -> list[Candidate]:
    """What a preview would create on Azure and may have been created already, by a provider that died.

    A resource whose id is not known yet cannot be looked for; it shows once those it depends on are in the state.
    """
    found: list[Candidate] = []
    for event in events:
        metadata = cast(Json, cast(Json, event.get("resourcePreEvent") or {}).get("metadata") or {})
        resource = cast(Json, metadata.get("new") or {})
        if metadata.get("op") not in ("create", "create-replacement") or not resource.get("custom"):
            continue
        if not str(resource.get("type", "")).startswith(AZURE):
            continue
        try:
            candidate = _candidate(resource, state, subscription)
        except (IncompleteInputsError, UnknownTypeError):
            continue
        if candidate.resource_id.lower() not in state.ids:
            found.append(candidate)
    return found


def adopt_pending(plan: Plan, candidate: Candidate, document: Mapping[str, Any]) -> None:
    """Take a pending creation that Azure has into the plan."""
    outputs = outputs_of(candidate.token, document)
    plan.adopt.append(
        Adoption(candidate.resource, str(document.get("id", candidate.resource_id)), outputs, _failure(document))
    )


def adopt_planned(
    plan: Plan, candidate: Candidate, document: Mapping[str, Any], state: State, *, project: str, stack: str
) -> None:
    """Take a resource that Azure has and a preview would create into the plan, if it is this stack's."""
    missing = state.missing_for(candidate.resource, plan.surroundings)
    if missing:
        plan.refused.append(
            f"{candidate.name} is on Azure as {candidate.resource_id}, and what it belongs to in the program, "
            f"{missing}, is not in the state: it cannot be taken in. Delete it on Azure, or `pulumi import` it."
        )
        return
    owner = foreign_owner(candidate, document, state, plan.adopt, project=project, stack=stack)
    if owner:
        plan.refused.append(
            f"{candidate.name} is on Azure as {candidate.resource_id}, but {owner}: it is left alone. "
            "Delete or rename it there, give ours another name, or take it in with `pulumi import` if it is yours."
        )
        return
    outputs = outputs_of(candidate.token, document)
    resource = {**candidate.resource, "inputs": _known(candidate, outputs)}
    for name in ("id", "outputs", "delete"):
        resource.pop(name, None)
    plan.adopt.append(Adoption(resource, str(document.get("id", candidate.resource_id)), outputs, _failure(document)))


def foreign_owner(
    candidate: Candidate,
    document: Mapping[str, Any],
    state: State,
    adopted: Iterable[Adoption],
    *,
    project: str,
    stack: str,
) -> str | None:
    """Why a resource on Azure is not this stack's; None when it is.

    It is when it carries this stack's tags, or when it cannot carry any and lies in or on a resource of the state.
    """
    tags = cast(dict[str, str], document.get("tags") or {})
    found = tuple(tags.get(name) for name in TAGS)
    if found == (project, stack):
        return None
    if any(found):
        return f"its tags say that it is of project {found[0]}, stack {found[1]}"
    planned = cast(Json, cast(Json, candidate.resource.get("inputs") or {}).get("tags") or {})
    if "tags" in body_fields(candidate.token) and TAGS[0] in planned:
        return f"it does not carry the tags {' and '.join(TAGS)} that ours would have"
    ours = state.ids | {one.resource_id.lower() for one in adopted}
    if any(above.lower() in ours for above in ancestors(candidate.resource_id)):
        return None
    return "nothing that it lies in or on is in the state, and it carries no tags of ours"


def _candidate(resource: Json, state: State, subscription: str | None) -> Candidate:
    inputs = cast(Json, resource.get("inputs") or {})
    configured = state.provider_inputs(resource).get("subscriptionId") or subscription
    if not isinstance(configured, str) or not configured:
        raise IncompleteInputsError(
            f"{resource['urn']}: no subscription is known. Set ARM_SUBSCRIPTION_ID, as for `pulumi up`."
        )
    kind = arm_type(str(resource["type"]))
    if any(inputs.get(name) == UNKNOWN for name in kind.parameters):
        raise IncompleteInputsError(f"{resource['urn']}: its id is not known before the deployment")
    return Candidate(resource, kind.resource_id(inputs, configured), kind.api_version)


def _known(candidate: Candidate, outputs: Json) -> Json:
    """A preview's inputs with what was unknown in it as Azure has it."""
    return cast(
        Json, _filled(cast(Json, candidate.resource.get("inputs") or {}), inputs_within(candidate.token, outputs))
    )


def _filled(planned: Any, live: Any) -> Any:
    if isinstance(planned, dict):
        there = cast(Json, live) if isinstance(live, dict) else {}
        pairs = ((name, _filled(value, there.get(name))) for name, value in cast(Json, planned).items())
        return {name: value for name, value in pairs if value is not None}
    if isinstance(planned, list):
        present = cast(list[Any], live) if isinstance(live, list) else []
        return [
            _filled(value, present[index] if index < len(present) else None)
            for index, value in enumerate(cast(list[Any], planned))
        ]
    return cast(object, live if planned == UNKNOWN else planned)


def _provisioning_state(document: Mapping[str, Any]) -> str:
    properties = document.get("properties")
    state = cast(Json, properties).get("provisioningState") if isinstance(properties, dict) else None
    return str(state or "").lower()


def _failure(document: Mapping[str, Any]) -> str | None:
    state = _provisioning_state(document)
    return f"its creation ended as {state} on Azure" if state in _FAILED else None
