"""Waiting until a role just given really opens the Kubernetes API.

Azure says that a role is assigned minutes before it takes effect. What tells is the API server's own answer, so
it is asked, less and less often, until it says yes or the time is up.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import pulumi
import yaml

TIMEOUT_SECONDS = 20 * 60
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 20.0
_EXEC_TIMEOUT_SECONDS = 120
_REVIEW = {
    "apiVersion": "authorization.k8s.io/v1",
    "kind": "SelfSubjectAccessReview",
    "spec": {"resourceAttributes": {"verb": "*", "group": "*", "resource": "*"}},
}


@dataclass(frozen=True)
class Answer:
    """What the API server said: whether everything is allowed, and the reason where it is not."""

    allowed: bool
    reason: str


async def wait_for_access(
    kubeconfig: str,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    ask: Callable[[str], Answer] | None = None,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Ask until the kubeconfig's user may do everything in the cluster.

    Args:
        kubeconfig: its text.
        timeout_seconds: how long to go on asking.
        ask, pause: stand-ins for tests.

    Raises:
        pulumi.RunError: the time is up; with the last answer and what to do.
    """
    asked = ask or ask_api_server
    waited, wait = 0.0, _FIRST_PAUSE_SECONDS
    while True:
        answer = await asyncio.to_thread(asked, kubeconfig)
        if answer.allowed:
            return
        if waited >= timeout_seconds:
            raise pulumi.RunError(
                f"The deployer's role on the cluster did not take effect within {timeout_seconds / 60:.0f} minutes. "
                f"The API server's last answer: {answer.reason}. Run `pulumi up` again in some minutes; if it stays, "
                "check that kubelogin signs in as the principal in `trainyard:cluster.deployers` (AAD_LOGIN_METHOD)."
            )
        await pause(wait)
        waited, wait = waited + wait, min(wait * 1.6, _LONGEST_PAUSE_SECONDS)


def ask_api_server(kubeconfig: str) -> Answer:
    """One question to the API server; what cannot be reached or signed in to is a "no" with its reason."""
    config = cast(dict[str, Any], yaml.safe_load(kubeconfig))
    cluster = cast(dict[str, Any], config["clusters"][0]["cluster"])
    user = cast(dict[str, Any], config["users"][0]["user"])
    try:
        token = _token(cast(dict[str, Any], user["exec"])) if "exec" in user else str(user.get("token", ""))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        return Answer(False, f"signing in failed: {error}")
    authority = base64.b64decode(cluster.get("certificate-authority-data", "")).decode()
    context = ssl.create_default_context(cadata=authority or None)
    request = urllib.request.Request(
        f"{cluster['server'].rstrip('/')}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        data=json.dumps(_REVIEW).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as response:
            status = json.load(response).get("status", {})
    except urllib.error.HTTPError as error:
        return Answer(False, f"HTTP {error.code} {error.reason}")
    except (OSError, ValueError) as error:
        return Answer(False, str(error))
    return Answer(bool(status.get("allowed")), str(status.get("reason") or "not allowed yet"))


def _token(plugin: dict[str, Any]) -> str:
    """Run a kubeconfig's exec plugin, `kubelogin`, and take the token it prints."""
    given = cast(list[object], plugin.get("args") or [])
    done = subprocess.run(
        [str(plugin["command"]), *map(str, given)],
        capture_output=True,
        text=True,
        timeout=_EXEC_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ValueError(f"{plugin['command']} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return str(json.loads(done.stdout)["status"]["token"])
