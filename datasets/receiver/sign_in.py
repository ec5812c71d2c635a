"""Azure's token for the pod's identity: workload identity, as the webhook of AKS prepares it.

Owns the exchange of the projected service-account token and the keeping of what came back.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.parse
from pathlib import Path

from datasets.receiver.places import PlaceError
from datasets.receiver.web import Web

SCOPE = "https://storage.azure.com/.default"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NEEDED = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST")
_EARLY_SECONDS = 300


class Tokens:
    """Bearer tokens for storage; several threads may ask.

    Raises:
        PlaceError: `denied`, the pod has no workload identity or Entra refuses it.
    """

    def __init__(self, web: Web) -> None:
        self._web = web
        self._lock = threading.Lock()
        self._token = ""
        self._until = 0.0

    def __call__(self) -> str:
        """A token that is good for some minutes at least."""
        with self._lock:
            if time.time() > self._until - _EARLY_SECONDS:
                self._token, self._until = self._exchange()
            return self._token

    def _exchange(self) -> tuple[str, float]:
        missing = [name for name in _NEEDED if not os.environ.get(name)]
        if missing:
            raise PlaceError(
                "denied",
                f"the pod has no workload identity ({', '.join(missing)} not set): its service account needs the "
                "annotation azure.workload.identity/client-id and the cluster workload identity; run pulumi up",
            )
        authority, tenant = os.environ["AZURE_AUTHORITY_HOST"].rstrip("/"), os.environ["AZURE_TENANT_ID"]
        form = {
            "grant_type": "client_credentials",
            "client_id": os.environ["AZURE_CLIENT_ID"],
            "scope": SCOPE,
            "client_assertion_type": _ASSERTION,
            "client_assertion": Path(os.environ["AZURE_FEDERATED_TOKEN_FILE"]).read_text().strip(),
        }
        answer = self._web.request(
            "POST",
            f"{authority}/{tenant}/oauth2/v2.0/token",
            {"Content-Type": "application/x-www-form-urlencoded"},
            urllib.parse.urlencode(form).encode(),
        )
        if answer.status != 200:
            told = answer.body.decode(errors="replace")[:500]
            raise PlaceError("denied", f"Entra gives no token ({answer.status}): {told}")
        found = json.loads(answer.body)
        return str(found["access_token"]), time.time() + float(found["expires_in"])
