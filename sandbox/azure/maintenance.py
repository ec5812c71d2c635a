"""Maintenance windows of a cluster, and what AKS tells of versions and access profiles."""

from __future__ import annotations

import re
from datetime import date
from typing import ClassVar, cast

from sandbox.azure import clusters
from sandbox.azure.behaviour import Behaviour, Body, Context, Reply, Request, register, register_route
from sandbox.azure.cluster_credentials import admin_credentials, user_credentials
from sandbox.azure.container_service import CLUSTER_PATH, CLUSTER_TYPE, cluster_of_route, invalid, mapping, refusal
from sandbox.azure.kubernetes_versions import upgrades_from, version_list
from sandbox.azure.store import Resource

NAMES = ("default", "aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_OFFSET = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")
_SCHEDULES = ("daily", "weekly", "absoluteMonthly", "relativeMonthly")


class MaintenanceConfigurations(Behaviour):
    """`…/managedClusters/maintenanceConfigurations`."""

    type: ClassVar[str] = f"{CLUSTER_TYPE}/maintenanceConfigurations"
    has_location: ClassVar[bool] = False

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """One of three names; a window of four hours or more with exactly one schedule."""
        if request.name not in NAMES:
            raise refusal(
                "InvalidMaintenanceConfigurationName",
                f"Maintenance configuration name '{request.name}' is not valid: it must be one of {', '.join(NAMES)}.",
            )
        properties = mapping(body.get("properties"))
        window = cast("Body | None", properties.get("maintenanceWindow"))
        if window is None:
            if request.name == "default" and properties.get("timeInWeek"):
                return
            raise invalid("maintenanceWindow", f"'{request.name}' needs a maintenanceWindow.")
        _check_window(request.name, window)

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """The offset's default."""
        window = cast("Body | None", document["properties"].get("maintenanceWindow"))
        if window is not None:
            window.setdefault("utcOffset", "+00:00")

    def put(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> Reply:
        """AKS answers 200 to a new one, too."""
        reply = super().put(ctx, request, body, existing)
        return Reply(200, reply.body)

    def render(self, ctx: Context, resource: Resource) -> Body:
        """The document; it has no provisioning state."""
        properties = {key: value for key, value in resource.properties.items() if key != "provisioningState"}
        return {**resource.body, "properties": properties}


def _check_window(name: str, window: Body) -> None:
    where = "maintenanceWindow"
    hours = window.get("durationHours")
    if not isinstance(hours, int) or not 4 <= hours <= 24:
        raise invalid(f"{where}.durationHours", f"durationHours {hours} must be 4 to 24.")
    if not _TIME.fullmatch(str(window.get("startTime"))):
        raise invalid(f"{where}.startTime", f"startTime '{window.get('startTime')}' must be HH:MM.")
    offset = window.get("utcOffset")
    if offset is not None and not _OFFSET.fullmatch(str(offset)):
        raise invalid(f"{where}.utcOffset", f"utcOffset '{offset}' must be such as '+05:30'.")
    start = window.get("startDate")
    if start is not None:
        try:
            date.fromisoformat(str(start))
        except ValueError as error:
            raise invalid(f"{where}.startDate", f"startDate '{start}' must be a date such as 2026-01-31.") from error
    schedule = mapping(window.get("schedule"))
    given = [key for key in _SCHEDULES if schedule.get(key)]
    if len(given) != 1:
        raise invalid(f"{where}.schedule", f"exactly one of {', '.join(_SCHEDULES)} must be given, not {given}.")
    if given == ["daily"] and name == "aksManagedAutoUpgradeSchedule":
        raise invalid(f"{where}.schedule", "a daily schedule is for aksManagedNodeOSUpgradeSchedule only.")
    if name == "default" and given != ["weekly"]:
        raise invalid(f"{where}.schedule", "'default' takes a weekly schedule only.")
    weeks = mapping(schedule.get("weekly")).get("intervalWeeks")
    if weeks is not None and not 1 <= int(weeks) <= 4:
        raise invalid(f"{where}.schedule.weekly.intervalWeeks", f"intervalWeeks {weeks} must be 1 to 4.")


register(MaintenanceConfigurations())


def _versions(_ctx: Context, _request: Request, _body: Body) -> Reply:
    return Reply(200, version_list())


def _upgrade_profile(ctx: Context, request: Request, _body: Body) -> Reply:
    found = cluster_of_route(ctx, request, f"{CLUSTER_TYPE}/upgradeProfiles/read")
    current = clusters.of(found).version

    def profile(version: str, name: str) -> Body:
        newer = [{"kubernetesVersion": one, "isPreview": False} for one in upgrades_from(version)]
        return {"kubernetesVersion": version, "name": name, "osType": "Linux", "upgrades": newer}

    pools = [
        profile(one.properties["currentOrchestratorVersion"], one.name) for one in clusters.pools_of(ctx, found.id)
    ]
    return Reply(
        200,
        {
            "id": f"{found.id}/upgradeprofiles/default",
            "name": "default",
            "type": f"{CLUSTER_TYPE}/upgradeprofiles",
            "properties": {"controlPlaneProfile": profile(current, ""), "agentPoolProfiles": pools},
        },
    )


def _access_profile(ctx: Context, request: Request, _body: Body) -> Reply:
    found = cluster_of_route(ctx, request, f"{CLUSTER_TYPE}/accessProfiles/listCredential/action")
    role = request.params["role"]
    if role not in {"clusterAdmin", "clusterUser"}:
        raise refusal("InvalidParameter", f"The access profile '{role}' must be clusterAdmin or clusterUser.")
    credentials = admin_credentials(ctx, found) if role == "clusterAdmin" else user_credentials(ctx, found, None)
    return Reply(
        200,
        {
            "id": f"{found.id}/accessProfiles/{role}",
            "name": role,
            "type": f"{CLUSTER_TYPE}/accessProfiles",
            "location": found.body["location"],
            "properties": {"kubeConfig": credentials["kubeconfigs"][0]["value"]},
        },
    )


register_route(
    "GET",
    "/subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/{location}/kubernetesVersions",
    _versions,
    action="Microsoft.ContainerService/locations/kubernetesVersions/read",
)
register_route("GET", CLUSTER_PATH + "/upgradeProfiles/default", _upgrade_profile)
register_route("POST", CLUSTER_PATH + "/accessProfiles/{role}/listCredential", _access_profile)
