"""What Azure has: resources by their ids, with the sign-in of the environment.

Signs in, and finds its Resource Manager, as `arm/sign_in.py` says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.mgmt.resource.resources import ResourceManagementClient

from arm.sign_in import cloud, credential
from recovery.plan import Candidate, is_running
from recovery.state import Json

LONGEST_WAIT = 3600.0
"""Seconds to wait for a resource that Azure is still at work on."""

_LOOK_EVERY = 2.0


class AzureUnreadableError(Exception):
    """Azure did not say whether a resource is there: nothing may be concluded from that."""


class Azure:
    """One subscription's resources.

    Args:
        environment: where credentials and `ARM_ENDPOINT` are looked up.
        say: told what is being waited for.
    """

    def __init__(self, environment: Mapping[str, str], subscription: str, say: Callable[[str], None]) -> None:
        where = cloud(environment)
        client: Any = ResourceManagementClient
        self._resources: Any = client(
            credential(environment), subscription, base_url=where.endpoint, credential_scopes=[where.scope]
        ).resources
        self._say = say

    def look(self, candidate: Candidate) -> Json | None:
        """A resource's document once Azure is done with it; None when it is not there.

        Raises:
            AzureUnreadableError: no sign-in, no right to read it, no answer, or not done in an hour.
        """
        deadline = time.monotonic() + LONGEST_WAIT
        told = False
        while True:
            document = self._get(candidate)
            if document is None or not is_running(document):
                return document
            if time.monotonic() > deadline:
                raise AzureUnreadableError(
                    f"{candidate.name}: Azure is still at work on {candidate.resource_id}. Run this again later."
                )
            if not told:
                self._say(f"waiting for {candidate.name}: Azure is still at work on it")
                told = True
            time.sleep(_LOOK_EVERY)

    def _get(self, candidate: Candidate) -> Json | None:
        try:
            return cast(
                Json,
                self._resources.get_by_id(
                    candidate.resource_id.lstrip("/"), api_version=candidate.api_version, cls=_document
                ),
            )
        except ResourceNotFoundError:
            return None
        except ClientAuthenticationError as refused:
            raise AzureUnreadableError(
                f"no sign-in to Azure: {_first_line(refused)}. Run `az login`, or set AZURE_CLIENT_ID, "
                "AZURE_CLIENT_SECRET and AZURE_TENANT_ID."
            ) from refused
        except HttpResponseError as refused:
            if refused.status_code == 404:
                return None
            what = "this sign-in may not read it" if refused.status_code == 403 else _first_line(refused)
            raise AzureUnreadableError(
                f"{candidate.name}: whether {candidate.resource_id} is there is unknown, {what}. "
                "Nothing was changed: use a sign-in with Reader on it, or try again."
            ) from refused
        except AzureError as lost:
            raise AzureUnreadableError(f"Azure does not answer: {_first_line(lost)}. Nothing was changed.") from lost


def _document(response: Any, *_: Any) -> Json:
    return cast(Json, response.http_response.json())


def _first_line(failure: Exception) -> str:
    return str(failure).strip().splitlines()[0].rstrip(".")
