"""Facts read from Azure now, through Azure's own request pipeline.

Signs in and finds its Resource Manager as `arm/sign_in.py` says, so that it works against any cloud. Nothing of
Azure's packages is imported before the first question: they take seconds, and a preview that finds its facts in the
cache needs none of them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast
from urllib.parse import quote

from policy.facts.azure import AbsentError, Json, UnreadableError, ask, described

_PAGES = 50


class LiveFacts:
    """Answers questions by asking Azure.

    Args:
        environment: where sign-in, Resource Manager and subscription are looked up.
        subscription: its id; None: the environment's, else the only one that the sign-in sees.
        timeout: seconds that one request may take to answer.
    """

    def __init__(self, environment: Mapping[str, str], subscription: str | None = None, *, timeout: float = 20) -> None:
        self._environment = environment
        self._given = subscription
        self._timeout = timeout
        self._lock = threading.Lock()

    @property
    def described(self) -> str:
        """Where its answers come from."""
        return "Azure, read now"

    def read(self, asked: str) -> Any:
        """The answer.

        Raises:
            UnreadableError: Azure gives none.
        """
        with self._lock:
            requests = self._requests
        return requests.about(asked)

    @cached_property
    def _requests(self) -> _Requests:
        return _Requests(self._environment, self._given, self._timeout)


class _Requests:
    """GET requests through azure-mgmt-core."""

    def __init__(self, environment: Mapping[str, str], subscription: str | None, timeout: float) -> None:
        # Imported here, as the module's docstring says.
        from azure.core.pipeline.policies import RetryPolicy  # noqa: PLC0415
        from azure.mgmt.core import ARMPipelineClient  # noqa: PLC0415
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy  # noqa: PLC0415

        from arm.sign_in import cloud, credential  # noqa: PLC0415

        where = cloud(environment)
        retry: Any = RetryPolicy
        retries: Any = retry(retry_total=2, retry_backoff_factor=0.5, retry_backoff_max=5)
        sign_in: Any = ARMChallengeAuthenticationPolicy(credential(environment), where.scope)
        client: Any = ARMPipelineClient
        self._client: Any = client(base_url=where.endpoint, policies=[retries, sign_in])
        self._timeout = timeout
        self.endpoint = where.endpoint
        self.subscription = ""
        self.subscription = subscription or self._only_subscription()

    def about(self, asked: str) -> Any:
        """The answer to one question; what fails names it."""
        try:
            return ask(self, asked)
        except AbsentError as absent:
            raise UnreadableError(f"{described(asked)}: Azure does not know {absent}") from absent
        except UnreadableError as reason:
            raise UnreadableError(f"{described(asked)} could not be read: {reason}") from reason

    def get(self, path: str, api_version: str, query: Mapping[str, str] | None = None) -> Json:
        """One document."""
        return self._send(path, {"api-version": api_version, **(query or {})})

    def list(self, path: str, api_version: str, query: Mapping[str, str] | None = None) -> list[Json]:
        """All pages."""
        page = self.get(path, api_version, query)
        found: list[Json] = []
        for _ in range(_PAGES):
            found += cast(list[Json], page.get("value") or [])
            following = page.get("nextLink")
            if not following:
                return found
            page = self._send(str(following), {})
        raise UnreadableError(f"{path} has more than {_PAGES} pages: ask for less")

    def _send(self, path: str, query: Mapping[str, str]) -> Json:
        from azure.core.exceptions import AzureError, ClientAuthenticationError  # noqa: PLC0415
        from azure.core.rest import HttpRequest  # noqa: PLC0415

        following = path.startswith(f"{self.endpoint}/")
        address = path if following else self.endpoint + quote(path)
        try:
            response: Any = self._client.send_request(
                HttpRequest("GET", address, params=dict(query)),
                connection_timeout=min(5, self._timeout),
                read_timeout=self._timeout,
            )
            status = int(response.status_code)
            if status == 200:
                return cast(Json, response.json())
            said = _error(response)
        except ClientAuthenticationError as refused:
            raise UnreadableError(
                f"no sign-in to Azure ({_first_line(refused)}). Run `az login`, or set AZURE_CLIENT_ID, "
                "AZURE_TENANT_ID and a secret or federated token."
            ) from refused
        except (AzureError, ValueError) as lost:
            raise UnreadableError(f"{self.endpoint} does not answer ({_first_line(lost)}). Try again.") from lost
        if status == 404:
            raise AbsentError(path)
        if status in (401, 403):
            raise UnreadableError(f"this sign-in may not read it ({said}). Give it Reader on the subscription.")
        raise UnreadableError(f"Azure answers {status} ({said}). Try again.")

    def _only_subscription(self) -> str:
        found = [str(one["subscriptionId"]) for one in self.list("/subscriptions", "2022-12-01")]
        if len(found) != 1:
            raise UnreadableError(
                f"no subscription is named, and the sign-in sees {len(found)}: set ARM_SUBSCRIPTION_ID."
            )
        return found[0]


def _error(response: Any) -> str:
    """Azure's own code of a refusal."""
    try:
        return str(response.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"


def _first_line(failure: Exception) -> str:
    lines = str(failure).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(failure).__name__
