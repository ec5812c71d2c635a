"""The real cluster-autoscaler in place of ours, unmodified: with the Deployment's own arguments and variables, and what
it needs to find the sandbox.

What is added (AZ `azure_config.go`): a kubeconfig, a cloud configuration that names the cloud `AzureStackCloud`, the
environment file of that cloud, the sandbox's authority, and a token file, which the kubelet
would have mounted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from sandbox.autoscaler.declared import Declared
from sandbox.home import Home

log = logging.getLogger(__name__)
PROGRAM = "cluster-autoscaler"
VARIABLE = "SANDBOX_AUTOSCALER"
_TOKEN_SECONDS = 900.0
_STOP_WITHIN = 10.0


class RealAutoscaler:
    """One run of the program, from the pod's start to its end.

    Args:
        home: the sandbox.
        program: the program's path.
        token: gives a token of the Deployment's service account for Azure.
    """

    def __init__(self, home: Home, program: Path, token: Callable[[], Awaitable[str]]) -> None:
        self._home = home
        self._program = program
        self._token = token
        self._folder = home.root / "real-autoscaler"
        self._token_file = self._folder / "token"

    async def run(self, told: Declared, still: Callable[[], Awaitable[bool]]) -> None:
        """Run until the declared autoscaler does not run as it did, or the program ends by itself.

        Args:
            still: whether the declared autoscaler is as it was.
        """
        await self._write_token()
        command = [str(self._program), *told.arguments, *self._arguments()]
        log.info("starting %s", " ".join(command))
        process = await asyncio.create_subprocess_exec(*command, env=self._environment(told))
        renewed = asyncio.get_running_loop().time()
        try:
            while process.returncode is None and await still():
                if asyncio.get_running_loop().time() - renewed > _TOKEN_SECONDS:
                    await self._write_token()
                    renewed = asyncio.get_running_loop().time()
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), _STOP_WITHIN)
                except TimeoutError:
                    process.kill()
        log.info("%s ended with %s", PROGRAM, process.returncode)

    async def _write_token(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._token_file.write_text(await self._token())

    def _arguments(self) -> list[str]:
        cloud = self._folder / "cloud.json"
        cloud.write_text(json.dumps({"cloud": "AzureStackCloud", "tenantId": self._home.config.tenant_id}))
        # Its address for probes and metrics is the pod's own in the cluster.
        return [f"--kubeconfig={self._home.admin_kubeconfig}", f"--cloud-config={cloud}", "--address=127.0.0.1:0"]

    def _environment(self, told: Declared) -> dict[str, str]:
        url = self._home.azure_url
        stack = self._folder / "environment.json"
        stack.write_text(
            json.dumps(
                {
                    "name": "AzureStackCloud",
                    "managementPortalURL": url,
                    "resourceManagerEndpoint": f"{url}/",
                    "activeDirectoryEndpoint": f"{url}/",
                    "tokenAudience": f"{url}/",
                    "serviceManagementEndpoint": f"{url}/",
                }
            )
        )
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "NO_PROXY") if name in os.environ}
        return {
            **kept,
            **told.environment,
            "AZURE_ENVIRONMENT_FILEPATH": str(stack),
            "SSL_CERT_FILE": str(self._home.ca_bundle),
            "AZURE_AUTHORITY_HOST": url,
            "AZURE_TENANT_ID": self._home.config.tenant_id,
            "ARM_TENANT_ID": self._home.config.tenant_id,
            "AZURE_CLIENT_ID": told.client_id,
            "ARM_CLIENT_ID": told.client_id,
            "AZURE_FEDERATED_TOKEN_FILE": str(self._token_file),
        }
