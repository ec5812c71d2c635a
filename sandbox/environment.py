"""What a shell needs to work on the sandbox, and the `bin` folder that comes first on its PATH.

Owns the list of exported variables. The same variables go to every process that the sandbox starts, so that what works
in the shell works there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from sandbox.home import REPOSITORY, Home
from sandbox.tools import Found, search_path

PASSPHRASE = "sandbox"  # noqa: S105  the secrets of a sandbox are not secret: its stack file is committed
_LANGUAGE_HOST = "pulumi-language-python"
_IN_THE_WAY = ("PULUMI_STACK", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_ACCESS_TOKEN", "AZURE_FEDERATED_TOKEN_FILE")
"""Variables of a user's shell that would lead away from the sandbox."""
_LOOPBACK = ("127.0.0.1", "localhost")


def exports(home: Home, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Every variable to set.

    Args:
        home: a sandbox that was started at least once.
        environment: the shell's variables now; PATH and NO_PROXY are put before or after theirs.
    """
    config = home.config
    python = REPOSITORY / ".venv" / "bin"
    debug_providers = {"azure-native": config.ports["azure_native"]}
    if real_kubernetes_provider(home) is None:
        debug_providers["kubernetes"] = config.ports["kubernetes"]
    no_proxy = [*filter(None, environment.get("NO_PROXY", "").split(",")), *_LOOPBACK]
    return {
        "PATH": os.pathsep.join([str(home.bin), str(python), _path_behind(environment, home, python)]),
        "SANDBOX_HOME": str(home.root),
        "PULUMI_HOME": str(home.pulumi_home),
        "PULUMI_BACKEND_URL": f"file://{home.pulumi_state}",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DEBUG_PROVIDERS": ",".join(f"{name}:{port}" for name, port in debug_providers.items()),
        "KUBECONFIG": str(home.kubeconfig),
        "ARM_ENDPOINT": home.azure_url,
        "AZURE_AUTHORITY_HOST": home.azure_url,
        "AZURE_TENANT_ID": config.tenant_id,
        "AZURE_CLIENT_ID": config.client_id,
        "AZURE_CLIENT_SECRET": config.client_secret,
        "AZURE_SUBSCRIPTION_ID": config.subscription_id,
        "AAD_LOGIN_METHOD": "spn",
        "REQUESTS_CA_BUNDLE": str(home.ca_bundle),
        "SSL_CERT_FILE": str(home.ca_bundle),
        "NO_PROXY": ",".join(dict.fromkeys(no_proxy)),
    }


def shell_lines(home: Home, environment: Mapping[str, str] = os.environ) -> str:
    """`export` and `unset` lines for a POSIX shell, quoted."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in exports(home, environment).items()]
    lines += [f"unset {name}" for name in _IN_THE_WAY if name in environment]
    return "\n".join(lines)


def process_environment(home: Home) -> dict[str, str]:
    """This process's environment with the exports applied, for what the sandbox runs."""
    kept = {name: value for name, value in os.environ.items() if name not in _IN_THE_WAY}
    return {**kept, **exports(home)}


def real_kubernetes_provider(home: Home) -> Path | None:
    """The real Kubernetes provider: on PATH, else installed as a plugin; None where ours has to serve."""
    on_path = shutil.which("pulumi-resource-kubernetes", path=search_path())
    if on_path:
        return Path(on_path)
    linked = sorted((home.pulumi_home / "plugins").glob("resource-kubernetes-v4.*/pulumi-resource-kubernetes"))
    return linked[-1] if linked else None


def prepare(home: Home, tools: Mapping[str, Found]) -> None:
    """Fill `bin` with what the exports promise, and bring the user's installed Kubernetes provider along."""
    _link_installed_provider(home)
    official = shutil.which(_LANGUAGE_HOST, path=search_path())
    pulumi = tools["pulumi"]
    target = home.bin / "pulumi"
    target.unlink(missing_ok=True)
    if official and Path(official).parent == pulumi.path.parent:
        # The engine looks for its language host beside itself: a link leads it there.
        target.symlink_to(pulumi.path)
    else:
        _place(pulumi.path, target)
    if official:
        (home.bin / _LANGUAGE_HOST).unlink(missing_ok=True)
    else:
        # -P: the engine starts it in the program's folder, which must not shadow modules (`infra/platform.py`).
        _script(home.bin / _LANGUAGE_HOST, "-Pm", "sandbox.language_host")
    kubectl = home.bin / "kubectl"
    kubectl.unlink(missing_ok=True)
    kubectl.symlink_to(tools["kubectl"].path)
    # No site-packages and no user settings: kubectl starts it for every command, so it must be quick.
    _script(home.bin / "kubelogin", "-IS", str(REPOSITORY / "sandbox" / "kubelogin.py"))


def language_host(home: Home) -> str:
    """Which language host the engine will use, in words."""
    own = home.bin / _LANGUAGE_HOST
    return "one of the sandbox itself" if own.exists() else str(shutil.which(_LANGUAGE_HOST, path=search_path()))


def _path_behind(environment: Mapping[str, str], home: Home, python: Path) -> str:
    """PATH without what is put before it, so that evaluating twice does not grow it."""
    entries = environment.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if entry not in {"", str(home.bin), str(python)})


def _link_installed_provider(home: Home) -> None:
    """The sandbox has a PULUMI_HOME of its own: link the user's Kubernetes providers of this major version into it."""
    users = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    if users == home.pulumi_home:
        return
    plugins = home.pulumi_home / "plugins"
    for installed in (users / "plugins").glob("resource-kubernetes-v4.*"):
        link = plugins / installed.name
        if installed.is_dir() and (installed / "pulumi-resource-kubernetes").exists() and not link.exists():
            plugins.mkdir(parents=True, exist_ok=True)
            link.symlink_to(installed)


def _place(source: Path, target: Path) -> None:
    """A hard link, else a copy: the engine must find its neighbours where it was called, not where it was built."""
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), partial)
    except OSError:
        shutil.copy2(source, partial)
    partial.replace(target)


def _script(target: Path, *arguments: str) -> None:
    """A command of ours: the virtualenv's Python with these arguments."""
    command = shlex.join([sys.executable, *arguments])
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    partial.chmod(0o755)
    partial.replace(target)
