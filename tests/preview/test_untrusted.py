"""Names, messages and values that want to be more than text, secrets by any name, and records that lie."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from preview import comment
from preview.comment import COMMENT_BYTES, write
from preview.environment import environment
from preview.events import Events, Violation, read_events, reduced
from preview.markdown import code, fenced, plain, prose
from preview.record import Record, RecordError, read_record
from preview.redact import HIDDEN, MARKER_KEY, SECRET_MARKER, redact, scrub
from tests.preview.records import read

HTML = MarkdownIt("commonmark", {"html": True}).enable(["table"])
NASTY = [
    "<script>alert(1)</script>",
    "</details></details><h1>fine</h1>",
    "@octocat please look",
    "fixes #1 and GH-2 and other/repo#3",
    "![x](https://evil.example/p.png)",
    "[click](javascript:alert(1))",
    "https://evil.example/issues/1",
    "a | b | c",
    "``` \n# big",
    "`````````",
    "<!-- trainyard-preview:sandbox -->",
    "**bold** _it_ ~~no~~",
    "\u202eesrever",
    "- [x] done",
]


def step(name: str, op: str = "create", **inputs: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:dev::trainyard::azure-native:network:VirtualNetwork::{name}"
    state = {"type": "azure-native:network:VirtualNetwork", "urn": urn, "inputs": inputs}
    old = None if op == "create" else {**state, "inputs": {}}
    return {"resourcePreEvent": {"metadata": {"op": op, "urn": urn, "type": state["type"], "old": old, "new": state}}}


def comment_of(*events: dict[str, Any], **more: Any) -> str:
    lines = [json.dumps(event) for event in events]
    return write([Record("dev", read_events(lines), exit_code=0, **more)]).comment


@pytest.mark.parametrize("text", NASTY)
def test_foreign_text_stays_text_wherever_it_stands(text: str) -> None:
    violation = Violation(text, text, "advisory", text, f"urn:pulumi:dev::p::t::{text}")
    events = read_events([json.dumps(step(text, value=text)), json.dumps(step(text, "update", value=text))])
    events.violations.append(violation)
    events.errors.append(text)
    made = write([Record("dev", events, exit_code=1, messages=[text], not_seen=[text])]).comment
    outside = made.replace("<!-- trainyard-preview:sandbox -->\n", "", 1)
    html = HTML.render(outside)
    for tag in ("<script", "<img", "<h1", "<a ", "<!--", "<del", "<em>it", 'javascript:alert(1)"'):
        assert tag not in html, f"{tag} in {html}"
    assert html.count("<details") == html.count("</details>")


@given(st.text(max_size=200))
def test_any_text_in_code_comes_out_as_it_went_in(text: str) -> None:
    html = HTML.renderInline(code(text))
    assert html.startswith("<code>")
    assert html.count("<code>") == 1
    assert html.endswith("</code>")


@given(st.text(max_size=200))
def test_no_text_makes_a_mention_a_link_or_html(text: str) -> None:
    for made in (plain(text), prose(text)):
        html = HTML.renderInline(made)
        for tag in ("<a", "<img", "<script", "<em>", "<strong>", "<!--"):
            assert tag not in html
    bare = plain(text)
    assert "://" not in bare
    assert not any(bare[index + 1 : index + 2].isalnum() for index, letter in enumerate(bare) if letter == "@")


@given(st.lists(st.text(max_size=60), max_size=8))
def test_no_line_ends_a_block_of_code(lines: list[str]) -> None:
    tokens = MarkdownIt("commonmark").parse(fenced(lines, "diff"))
    assert [token.type for token in tokens] == ["fence"]


def test_commands_in_a_message_can_be_copied() -> None:
    assert prose("run `pulumi config set --path a.b 1` now") == "run `pulumi config set --path a.b 1` now"
    assert prose("an odd ` one") == "an odd \\` one"


SECRETS: dict[str, tuple[dict[str, Any], str]] = {
    "the engine's marker": ({MARKER_KEY: SECRET_MARKER, "plaintext": "hunter2hunter2"}, "hunter2"),
    "a name": ({"adminPassword": "hunter2hunter2"}, "hunter2"),
    "a storage key": ({"value": "A1b2" * 21 + "Zz=="}, "A1b2A1b2"),
    "a connection string": (
        {"value": "AccountName=a;AccountKey=abcdef123456=="},
        "abcdef123456",
    ),
    "a web token": ({"value": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"}, "eyJzdWIi"),
    "a signature in an address": ({"value": "https://a.blob/x?sv=1&sig=abcdefghijklmnop1234%3D"}, "abcdefghijklmnop"),
    "a private key": ({"value": "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----"}, "MIIabc"),
    "a token of GitHub": ({"value": "ghp_" + "a1B2" * 9}, "a1B2a1B2"),
    "a kubeconfig": ({"kubeconfig": "apiVersion: v1\nusers: [{token: abc}]"}, "apiVersion"),
    "a password in an address": ({"value": "https://user:hunter2@host/x"}, "hunter2"),
    "deep inside": ({"a": [{"b": {"clientSecret": "hunter2hunter2"}}]}, "hunter2"),
    "a container's variable": ({"env": [{"name": "DB_PASSWORD", "value": "hunter2hunter2"}]}, "hunter2"),
    "below a secret's name": ({"adminCredentials": {"first": ["hunter2hunter2"]}}, "hunter2"),
    "Kubernetes' own": ({"kind": "Secret", "stringData": {"url": "hunter2hunter2"}}, "hunter2"),
}


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_is_shown_nowhere(name: str) -> None:
    inputs, secret = SECRETS[name]
    event = step("net", **inputs)
    kept = reduced(json.dumps(event))
    assert kept is not None
    assert secret not in kept
    made = comment_of(event)
    assert secret not in made
    assert "secret" in made


@pytest.mark.parametrize("name", [name for name, (inputs, _) in SECRETS.items() if "value" in inputs])
def test_a_secret_in_a_message_is_shown_nowhere(name: str) -> None:
    inputs, secret = SECRETS[name]
    text = f"provider said: {inputs['value']}"
    said = {"diagnosticEvent": {"severity": "error", "message": text}}
    policy = {"policyEvent": {"policyName": "p", "message": text, "enforcementLevel": "mandatory"}}
    lines = [json.dumps(said), json.dumps(policy), text]
    made = write([Record("dev", read_events(lines), exit_code=1, messages=[scrub(text)])]).comment
    assert secret not in made


@pytest.mark.parametrize(
    "value",
    [
        "/subscriptions/abd96c81-3ab3-47dd-aa3a-9aae174000c7/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v",
        "k8s.io_cluster-autoscaler_node-template_resources_ephemeral-storage",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "nvcr.io/nvidia/k8s-device-plugin:v0.20.0",
    ],
)
def test_what_is_no_secret_is_shown(value: str) -> None:
    assert redact(value, "id") == value
    assert redact({"secretName": "files-key", "automountServiceAccountToken": True}) == {
        "secretName": "files-key",
        "automountServiceAccountToken": True,
    }
    assert redact({"volumes": [{"secret": {"secretName": "files-key"}}]}) == {
        "volumes": [{"secret": {"secretName": "files-key"}}]
    }


def test_outputs_are_never_kept() -> None:
    event = step("net")
    event["resourcePreEvent"]["metadata"]["new"]["outputs"] = {"kubeconfig": "x" * 50}
    kept = reduced(json.dumps(event))
    assert kept is not None
    assert "outputs" not in kept
    assert reduced(json.dumps({"resOutputsEvent": {"metadata": {}}})) is None


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "5",
        "{",
        '{"resourcePreEvent": 5}',
        '{"resourcePreEvent": {"metadata": {"urn": 5, "old": [], "keys": {}}}}',
        '{"policyEvent": null}',
        '{"diagnosticEvent": {"message": {}}}',
        '{"preludeEvent": {"config": []}}',
        '{"preludeEvent": {"config": {"trainyard:pools": "%s"}}}' % ("[" * 5000),
        '{"resourcePreEvent": {"metadata": {"keys": 5, "diffs": true, "detailedDiff": [1]}}}',
        "[" * 100_000,
        '{"resourcePreEvent": {"metadata": {"urn": "urn:pulumi:d::p::t::n", "op": "create", "new": {"inputs": %s}}}}'
        % ('{"a": [' * 400 + "1" + "]}" * 400),
    ],
)
def test_events_that_are_none_break_nothing(line: str) -> None:
    assert environment(Record("dev", read_events([line]), exit_code=1), 20).verdict
    reduced(line)


_RECORDED = read("raised")
_JUNK = st.sampled_from(
    [None, -1, True, "", "\ud800", "1e400", "x" * 3000, math.inf, math.nan, 10**400, [], {}, [[1]], {"a": None}]
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_recorded_resource_with_anything_in_it_is_told(data: st.DataObject) -> None:
    steps = list(_RECORDED.events.steps)
    number = data.draw(st.integers(0, len(steps) - 1))
    old, new = dict(steps[number].old or {}), dict(steps[number].new or {})
    for side in (old, new):
        side[data.draw(st.sampled_from([*sorted(side), "count", "tags", "vmSize"]))] = data.draw(_JUNK)
    steps[number] = replace(
        steps[number], op=data.draw(st.sampled_from(["create", "update", "replace", "delete"])), old=old, new=new
    )
    quota = {name: data.draw(_JUNK) for name in ("needed", "used", "limit", "family")}
    record = replace(_RECORDED, events=replace(_RECORDED.events, steps=steps), policy={"quota": [quota]})
    assert environment(record, 20).verdict
    assert write([record]).comment.encode()


def test_a_record_that_cannot_be_told_makes_a_red_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_record: Record, _most: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(comment, "environment", broken)
    made = write([Record("dev", Events(), exit_code=0)]).comment
    assert "❌ **dev**: **no preview**, its record could not be told (ZeroDivisionError)" in made


def test_a_stack_s_name_is_shown_as_it_is_where_several_are() -> None:
    made = write([Record(name, Events(), exit_code=1, messages=["no"]) for name in ("my_dev", "my_prod")]).comment
    assert "<b>my_prod</b>" in made


def test_thousands_of_long_messages_fit() -> None:
    events = Events(steps=[], result="failed")
    for index in range(3000):
        events.violations.append(
            Violation(f"p{index}", "pack", "mandatory", f"{index} " + "é" * 2000, "urn:a::b::c::d")
        )
    made = write([Record("dev", events, exit_code=1)])
    assert len(made.comment.encode()) <= COMMENT_BYTES
    assert "3000 mandatory" in made.comment or "3,000 mandatory" in made.comment


def test_hundreds_of_environments_fit_and_the_failed_ones_come_first() -> None:
    records = [Record(f"s{index}", Events(), exit_code=index % 2, messages=["x" * 300]) for index in range(600)]
    made = write(records).comment
    assert len(made.encode()) <= COMMENT_BYTES
    assert "more environments" in made
    assert made.index("❌") < (made.index("✅") if "✅" in made else len(made))


def test_a_record_of_a_stranger_is_read_within_bounds(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"stack": "../../etc", "exitCode": 0}))
    with pytest.raises(RecordError, match="no name of a stack"):
        read_record(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"stack": "dev", "exitCode": "0", "messages": 5, "origin": "<b>"}))
    (tmp_path / "live.json").write_text("[" * 100_000)
    (tmp_path / "policy.json").write_text('{"quota": [{"needed": "many"}, 5], "unverified": {"a": 1}}')
    record = read_record(tmp_path)
    assert (record.exit_code, record.messages, record.origin, record.live) == (None, [], "file", None)
    assert write([record]).comment
    secret = tmp_path.parent / "secret"
    secret.write_text("{}")
    (tmp_path / "events.jsonl").symlink_to(secret)
    with pytest.raises(RecordError, match="link"):
        read_record(tmp_path)


def test_a_hidden_value_says_that_it_is_hidden() -> None:
    assert redact("hunter2", "password") == HIDDEN
