"""The provider's own configuration: per connection, judged, and what a change of it replaces."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi.runtime.proto import provider_pb2

from sandbox.home import Home
from sandbox.providers.kubernetes.objects import UNKNOWN
from sandbox.providers.kubernetes.properties import encode
from tests.sandbox.kubernetes.engine import CONFIG_MAP, Engine, Json, RefusedError, Resource, config_map, fresh, urn

Attach = Callable[[], Engine]
Kubectl = Callable[..., Any]


def _check(engine: Engine, **news: Any) -> list[str]:
    answer = engine.call("CheckConfig", provider_pb2.CheckRequest(news=encode(news)))
    return [f"{one.property}: {one.reason}" for one in answer.failures]


def _replaces(engine: Engine, olds: Json, news: Json) -> list[str]:
    answer = engine.call("DiffConfig", provider_pb2.DiffRequest(olds=encode(olds), news=encode(news)))
    return list(answer.replaces)


def _kubeconfig(server: str, **user: Any) -> str:
    return yaml.safe_dump(
        {
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": user}],
        }
    )


def test_unknown_settings_are_refused_with_the_nearest_known_one(engine: Engine) -> None:
    assert _check(engine, kubeconfig="x", clusterIdentifier="y", kubeClientSettings={"qps": 5}) == []
    [failure] = _check(engine, clusterIdentifer="y")
    assert "did you mean 'clusterIdentifier'" in failure


def test_what_the_stand_in_cannot_do_is_refused(engine: Engine) -> None:
    assert "renders no YAML" in _check(engine, renderYamlToDirectory="out")[0]
    assert "server-side apply only" in _check(engine, enableServerSideApply=False)[0]


def test_client_settings_that_are_no_numbers_are_refused(attach: Attach, plane: Home) -> None:
    with pytest.raises(RefusedError, match=r"kubeClientSettings.*numbers"):
        attach().configure(kubeconfig=str(plane.admin_kubeconfig), kubeClientSettings='{"qps": "many"}')


def test_another_server_replaces_the_provider(engine: Engine) -> None:
    old, new = _kubeconfig("https://a:1"), _kubeconfig("https://b:1")
    assert _replaces(engine, {"kubeconfig": old}, {"kubeconfig": new}) == ["kubeconfig"]
    assert _replaces(engine, {"kubeconfig": old}, {"kubeconfig": UNKNOWN}) == ["kubeconfig"]


def test_another_user_of_the_same_server_replaces_nothing(engine: Engine) -> None:
    old, new = _kubeconfig("https://a:1", token="a"), _kubeconfig("https://a:1", token="b")
    assert _replaces(engine, {"kubeconfig": old}, {"kubeconfig": new}) == []


def test_a_cluster_identifier_alone_decides(engine: Engine) -> None:
    old = {"kubeconfig": _kubeconfig("https://a:1"), "clusterIdentifier": "one"}
    new = {"kubeconfig": _kubeconfig("https://b:1"), "clusterIdentifier": "one"}
    assert _replaces(engine, old, new) == []
    assert _replaces(engine, old, {**new, "kubeconfig": UNKNOWN}) == []
    assert "clusterIdentifier" in _replaces(engine, old, {**old, "clusterIdentifier": "two"})
    without = {"kubeconfig": old["kubeconfig"]}
    assert _replaces(engine, without, old) == []


def test_the_kubeconfig_may_be_a_path_or_an_object_s_text(attach: Attach, plane: Home) -> None:
    for given in (str(plane.admin_kubeconfig), json.dumps(yaml.safe_load(plane.admin_kubeconfig.read_text()))):
        engine = attach()
        engine.configure(kubeconfig=given)
        engine.delete(engine.create(CONFIG_MAP, config_map(fresh("given"), {})))


def test_the_default_namespace_is_the_provider_s(attach: Attach, plane: Home) -> None:
    engine = attach()
    engine.configure(kubeconfig=plane.admin_kubeconfig.read_text(), namespace="kube-system")
    made = engine.create(CONFIG_MAP, config_map(fresh("there"), {}))
    assert made.id.startswith("kube-system/")
    assert made.inputs["metadata"]["namespace"] == "kube-system"
    cluster_wide = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": fresh("ns")}}
    assert "namespace" not in engine.check(urn("core/v1:Namespace"), cluster_wide)["metadata"]


def test_connections_do_not_see_each_other_s_configuration(attach: Attach, plane: Home) -> None:
    kubeconfig = plane.admin_kubeconfig.read_text()
    first, second, third = attach(), attach(), attach()
    first.configure(kubeconfig=kubeconfig, namespace="kube-system")
    second.configure(kubeconfig=kubeconfig, namespace="default")
    third.configure(kubeconfig=_kubeconfig("https://127.0.0.1:1"))
    assert first.check(CONFIG_MAP, config_map("x", {}))["metadata"]["namespace"] == "kube-system"
    assert second.check(CONFIG_MAP, config_map("x", {}))["metadata"]["namespace"] == "default"
    with pytest.raises(RefusedError, match="unreachable"):
        third.create(CONFIG_MAP, config_map("x", {}))


def test_messages_go_to_the_engine_they_concern(attach: Attach, plane: Home) -> None:
    first, second = attach(), attach()
    for engine in (first, second):
        engine.configure(kubeconfig=_kubeconfig("https://127.0.0.1:1"))
    with pytest.raises(RefusedError):
        first.delete(_record())
    deadline = time.monotonic() + 5
    while not first.messages.said and time.monotonic() < deadline:
        time.sleep(0.05)
    assert any("unreachable" in one for one in first.messages.said)
    assert second.messages.said == []


def _record() -> Resource:
    return Resource(CONFIG_MAP, "default/x", config_map("x", {}), config_map("x", {}, namespace="default"))


def test_with_an_unreachable_cluster_previews_give_the_inputs_back(attach: Attach) -> None:
    engine = attach()
    engine.configure(kubeconfig=_kubeconfig("https://127.0.0.1:1"))
    outputs = engine.preview_create(CONFIG_MAP, config_map("x", {"a": "1"}))
    assert outputs["data"] == {"a": "1"}
    with pytest.raises(RefusedError, match="PULUMI_K8S_DELETE_UNREACHABLE"):
        engine.read(_record())


def test_objects_of_an_unreachable_cluster_are_dropped_where_that_is_wanted(attach: Attach) -> None:
    engine = attach()
    engine.configure(kubeconfig=_kubeconfig("https://127.0.0.1:1"), deleteUnreachable="true")
    assert engine.read(_record()) is None
    engine.delete(_record())


def test_a_kubeconfig_that_is_none_makes_the_cluster_unreachable(attach: Attach) -> None:
    engine = attach()
    engine.configure(kubeconfig="nonsense")
    with pytest.raises(RefusedError, match="neither a file nor a kubeconfig"):
        engine.create(CONFIG_MAP, config_map("x", {}))


@pytest.fixture
def plugin(plane: Home) -> Iterator[Path]:
    """A sign-in plugin in the sandbox's own folder: prints the token in a file, and counts its runs."""
    program = plane.bin / "sign-in"
    folder = plane.root / fresh("plugin")
    folder.mkdir()
    answer = '{"kind": "ExecCredential", "apiVersion": "%s", "status": {"token": "%s"}}'
    program.write_text(
        "#!/bin/sh\n"
        f"echo run >> {folder}/runs\n"
        'test -n "$AZURE_CLIENT_SECRET" -a "$AAD_LOGIN_METHOD" = spn || exit 3\n'
        'version=$(echo "$KUBERNETES_EXEC_INFO" | sed \'s/.*"apiVersion": *"\\([^"]*\\)".*/\\1/\')\n'
        f'printf \'{answer}\' "$version" "$(cat {folder}/token)"\n'
    )
    program.chmod(0o755)
    yield folder
    program.unlink()


@pytest.fixture
def admin_token(kubectl: Kubectl) -> str:
    name = fresh("admin")
    kubectl("create", "serviceaccount", name)
    kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", f"--serviceaccount=default:{name}")
    return kubectl("create", "token", name).strip()


def _exec_kubeconfig(plane: Home, version: str) -> str:
    config = yaml.safe_load(_kubeconfig(plane.api_server_url))
    authority = base64.b64encode(plane.ca_cert.read_bytes()).decode()
    config["clusters"][0]["cluster"]["certificate-authority-data"] = authority
    plugin = {"apiVersion": f"client.authentication.k8s.io/{version}", "command": "sign-in", "args": ["get-token"]}
    # The hint makes each kubeconfig its own, or a token would be shared with the test before.
    config["users"][0]["user"] = {"exec": {**plugin, "interactiveMode": "Never", "installHint": fresh("hint")}}
    return yaml.safe_dump(config)


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_sign_in_plugin_is_run_once_and_its_token_kept(
    attach: Attach, plane: Home, plugin: Path, admin_token: str, version: str
) -> None:
    (plugin / "token").write_text(admin_token)
    engine = attach()
    engine.configure(kubeconfig=_exec_kubeconfig(plane, version))
    for _ in range(3):
        engine.create(CONFIG_MAP, config_map(fresh("signed"), {}))
    assert (plugin / "runs").read_text() == "run\n"


def test_a_refused_token_is_fetched_anew(attach: Attach, plane: Home, plugin: Path, admin_token: str) -> None:
    (plugin / "token").write_text("stale")
    engine, kubeconfig = attach(), _exec_kubeconfig(plane, "v1")
    engine.configure(kubeconfig=kubeconfig)
    with pytest.raises(RefusedError, match="401 Unauthorized"):
        engine.create(CONFIG_MAP, config_map(fresh("refused"), {}))
    (plugin / "token").write_text(admin_token)
    engine.configure(kubeconfig=kubeconfig)
    engine.create(CONFIG_MAP, config_map(fresh("signed"), {}))


def test_a_plugin_that_fails_is_named(attach: Attach, plane: Home, plugin: Path) -> None:
    engine = attach()
    config = _exec_kubeconfig(plane, "v1").replace("command: sign-in", "command: no-such-plugin")
    engine.configure(kubeconfig=config)
    with pytest.raises(RefusedError, match="'no-such-plugin' cannot be run"):
        engine.create(CONFIG_MAP, config_map("x", {}))


class _Denies(http.server.BaseHTTPRequestHandler):
    """An authorization webhook that knows of no rights, as the simulated Azure's before any role is assigned."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": {"allowed": False}}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def no_rights(plane: Home) -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", plane.config.ports["azure"]), _Denies)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(plane.azure_cert, plane.azure_key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


def test_a_forbidden_create_is_not_tried_again(
    attach: Attach, plane: Home, plugin: Path, kubectl: Kubectl, no_rights: None
) -> None:
    name = fresh("nobody")
    kubectl("create", "serviceaccount", name)
    (plugin / "token").write_text(kubectl("create", "token", name).strip())
    engine = attach()
    engine.configure(kubeconfig=_exec_kubeconfig(plane, "v1"), kubeClientSettings='{"qps": 49}')
    began = time.monotonic()
    with pytest.raises(RefusedError, match="forbidden"):
        engine.create(CONFIG_MAP, config_map(fresh("forbidden"), {}))
    assert time.monotonic() - began < 3
    assert engine.preview_create(CONFIG_MAP, config_map("x", {"a": "1"}))["data"] == {"a": "1"}


def test_functions_and_components_are_refused_with_a_way_out(engine: Engine) -> None:
    with pytest.raises(RefusedError, match="Declare the objects as typed resources"):
        engine.call("Invoke", provider_pb2.InvokeRequest(tok="kubernetes:kustomize:directory"))
    with pytest.raises(RefusedError, match="Declare the objects as typed resources"):
        engine.call("Construct", provider_pb2.ConstructRequest(type="kubernetes:yaml/v2:ConfigGroup"))
