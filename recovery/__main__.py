"""`python -m recovery`: show, and with `--yes` do, what mends a stack whose deployment was killed or takes data over.

Data that was kept when its stack was destroyed is on Azure and not in the state, as what a killed deployment left.

Exit status: 0 nothing to do, or done; 1 something stands in the way, nothing was changed; 2 there is something
to do and `--yes` was not given.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from arm.ids import IncompleteInputsError, UnknownTypeError
from recovery.azure import Azure, AzureUnreadableError
from recovery.engine import Engine, EngineError
from recovery.locks import living, read_locks
from recovery.plan import Plan, adopt_pending, adopt_planned, pending_candidate, planned_candidates
from recovery.state import Json, State
from recovery.surroundings import Surroundings

SUBSCRIPTION_VARIABLES = ("ARM_SUBSCRIPTION_ID", "AZURE_SUBSCRIPTION_ID")


class RefusedError(Exception):
    """Something that a person has to decide first."""


def main(arguments: list[str] | None = None) -> int:
    """Mend one stack; returns the exit status."""
    options = _options(arguments)
    try:
        return _recover(options, Engine(Path.cwd(), options.stack))
    except (
        AzureUnreadableError,
        EngineError,
        IncompleteInputsError,
        RefusedError,
        UnknownTypeError,
    ) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1


def _recover(options: argparse.Namespace, engine: Engine) -> int:
    locks = read_locks(engine.backend_url(), engine.organization, engine.project, engine.stack)
    alive = living(locks)
    if alive and not options.break_lock:
        raise RefusedError(
            f"stack {engine.stack} is locked by " + ", ".join(map(str, alive)) + ", which may still be deploying. "
            "Wait for it; if you know that it is dead, run this again with --break-lock."
        )
    state = State(engine.export())
    azure = _Lookup()
    plan = _plan_for_pending(state, azure)
    _refuse(plan)
    search = options.orphans == "always" or (
        options.orphans == "auto"
        and bool(locks or state.pending or not state.holds_anything or engine.last_deployment_failed())
    )
    if options.yes and (locks or not plan.is_empty):
        _apply(engine, state, plan, unlock=bool(locks))
        state = State(engine.export())
        locks = []
    further = _plan_for_planned(engine, state, plan, azure) if search else Plan()
    _refuse(further)
    if not (locks or state.pending or plan.adopt or plan.forget or further.adopt):
        print(f"Stack {engine.stack}: nothing is pending, nothing to do.")
        return 0
    if not options.yes:
        _show(plan, further, locked=bool(locks))
        if further.adopt:
            print("- then look again: what lies in these is found once they are in the state")
        print("Nothing was changed. Run again with --yes to do this.")
        return 2
    while further.adopt:
        _apply(engine, state, further, unlock=False)
        state = State(engine.export())
        further = _plan_for_planned(engine, state, Plan(), azure)
        _refuse(further)
    print(f"Stack {engine.stack} is mended. Now run `pulumi up --refresh`.")
    return 0


class _Lookup:
    """Azure by subscription, opened when first asked."""

    def __init__(self) -> None:
        self._azures: dict[str, Azure] = {}

    @property
    def subscription(self) -> str | None:
        return next((os.environ[name] for name in SUBSCRIPTION_VARIABLES if os.environ.get(name)), None)

    def of(self, resource_id: str) -> Azure:
        segments = resource_id.strip("/").split("/")
        subscription = segments[1] if segments[0] == "subscriptions" else self.subscription or ""
        if subscription not in self._azures:
            self._azures[subscription] = Azure(os.environ, subscription, print)
        return self._azures[subscription]


def _plan_for_pending(state: State, lookup: _Lookup) -> Plan:
    plan = Plan()
    for pending in state.pending:
        candidate = pending_candidate(pending, state, lookup.subscription)
        document = lookup.of(candidate.resource_id).look(candidate) if candidate else None
        if candidate and document is not None:
            adopt_pending(plan, candidate, document)
        else:
            plan.forget.append(f"{pending.kind} {pending.type.split(':')[-1]} {pending.urn.rpartition('::')[2]}")
    return plan


def _plan_for_planned(engine: Engine, state: State, earlier: Plan, lookup: _Lookup) -> Plan:
    """What is on Azure and would be created: left by a provider that died, or kept when its stack was destroyed.

    `earlier` is in the state already, or will be.
    """
    print("Looking for resources that are on Azure and not in the state (pulumi preview) …")
    plan = Plan()
    known = {one.urn for one in earlier.adopt}
    events = list(engine.preview_events())
    surroundings = Surroundings(events, state)
    for candidate in planned_candidates(events, state, lookup.subscription):
        if candidate.resource["urn"] in known:
            continue
        document = lookup.of(candidate.resource_id).look(candidate)
        if document is not None:
            settled = replace(candidate, resource=surroundings.settle(candidate.resource))
            plan.surroundings = surroundings.made
            adopt_planned(plan, settled, document, state, project=engine.project, stack=engine.stack)
    return plan


def _refuse(plan: Plan) -> None:
    if plan.refused:
        raise RefusedError("\n".join(plan.refused))


def _apply(engine: Engine, state: State, plan: Plan, *, unlock: bool) -> None:
    _show(plan, Plan(), locked=unlock)
    if unlock:
        engine.break_locks()
    if plan.adopt or plan.forget:
        copy = _keep(engine, state.exported, "before")
        print(f"The state as it was is kept in {copy}")
        mended = state.mended(plan.adopt, forget_pending=True, surroundings=plan.surroundings)
        engine.replace_state(_keep(engine, mended, "after"))


def _show(plan: Plan, further: Plan, *, locked: bool) -> None:
    if locked:
        print("- remove the lock of a deployment that no longer runs")
    for adoption in (*plan.adopt, *further.adopt):
        note = f", {adoption.failure}: the next deployment sends it again" if adoption.failure else ""
        print(f"- take into the state: {adoption.resource_id}{note}")
    for name in plan.forget:
        print(f"- forget the unfinished operation: {name}")


def _keep(engine: Engine, document: Json, what: str) -> Path:
    """Write a state beside Pulumi's own files, readable by its owner alone."""
    folder = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "recovery"
    folder.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    file = folder / f"{engine.project}-{engine.stack}-{moment}-{what}.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(document, indent=2))
    return file


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="recovery",
        description="Mend a stack after its deployment was killed, or take kept data over; shows what it would do.",
    )
    parser.add_argument("--stack", help="the stack's name; default: the selected one")
    parser.add_argument("--yes", action="store_true", help="do it")
    parser.add_argument(
        "--orphans",
        choices=("auto", "always", "never"),
        default="auto",
        help="look, with a preview, for resources that a killed provider or a destroyed stack left on Azure; "
        "auto: when the last deployment did not end well, or the state holds nothing",
    )
    parser.add_argument(
        "--break-lock", action="store_true", help="remove a lock even if the deployment that set it seems to run"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
