"""Stack files are read whole, whatever is in them, and those of the repository are valid."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import pytest
import yaml

from capacity.checks import load_file
from capacity.network_plan import AKS_NODES, plan_network
from stacks.base import Settings
from stacks.problems import SettingsErrors
from stacks.schema import TARGET, rendered
from stacks.settings import Stack

STACKS = Path(__file__).parents[2] / "stacks"
GOOD = "config:\n  trainyard:location: westeurope\n  trainyard:pools: {cpu: {class: cpu, max: 2}}\n"


def errors_in(folder: Path, content: str | bytes) -> list[str]:
    path = folder / "Pulumi.test.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SettingsErrors) as caught:
        load_file(path)
    return caught.value.errors


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["is empty", "trainyard:location"]),
        ("# only a comment\n", ["is empty"]),
        ("encryptionsalt: v1:x\n", ["has no config:", "location and pools"]),
        ("config:\n", ["nothing as config:"]),
        ("config: 5\n", ["5 as config:"]),
        ("config: {}\n", ["an empty mapping as config:"]),
        ("config:\n  azure-native:location: x\n", ["no key that begins with trainyard:"]),
        ("- a\n- b\n", ["a list, no mapping"]),
        ("just words", ['"just words", no mapping']),
        ("config: [unclosed", ["is not YAML", "line 1"]),
        ("config:\n\ttabs: no\n", ["is not YAML", "line 2"]),
        (GOOD + "  trainyard:location: eastus\n", ["'trainyard:location' stands twice", "line 4"]),
        ("config: {trainyard:pools: {a: {max: 1, max: 2}}}", ["'max' stands twice"]),
        ("config: {trainyard:pools: !!python/object:os.system {}}", ["is not YAML"]),
        (b"config: \xff\xfe", ["UTF-8"]),
        (b"config: \x00", ["characters that YAML does not allow"]),
        ("config: {trainyard:pools: " + "[" * 2000 + "]" * 2000 + "}", ["nested too deep"]),
        ("config: {? [a] : b}", ["is not YAML"]),
        ("config: {trainyard:location: 2026-13-45}", ["month"]),
    ],
)
def test_a_file_that_is_no_stack_file_is_one_error(tmp_path: Path, content: str | bytes, words: list[str]):
    [error] = errors_in(tmp_path, content)
    assert all(word in error for word in words), error


def test_a_file_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path: Path):
    (tmp_path / "Pulumi.dev.yaml").write_text(GOOD)
    with pytest.raises(SettingsErrors, match=r"No such file.*Pulumi\.dev\.yaml"):
        load_file(tmp_path / "Pulumi.prod.yaml")


def test_a_misspelt_key_of_ours_is_named_and_those_of_others_are_left_alone(tmp_path: Path):
    content = GOOD + "  trainyard:autoscalar: {}\n  azure-native:location: westeurope\n  other:thing: 1\n"
    [error] = errors_in(tmp_path, content)
    assert "trainyard:autoscalar: no such key" in error
    assert "`autoscaler`" in error


def test_an_encrypted_setting_is_an_error_that_does_not_show_it(tmp_path: Path):
    [error] = errors_in(tmp_path, GOOD.replace("westeurope", "{secure: v1:hunter2}"))
    assert "trainyard:location" in error
    assert "without --secret" in error
    assert "hunter2" not in error


def test_a_yaml_error_does_not_show_the_line_it_is_in(tmp_path: Path):
    [error] = errors_in(tmp_path, "config: {password: hunter2]\n")
    assert "hunter2" not in error


@pytest.mark.parametrize("environment", ["dev", "prod", "sandbox"])
def test_the_stack_files_are_valid_and_leave_room_for_growth(environment: str):
    stack = load_file(STACKS / f"Pulumi.{environment}.yaml")
    plan = plan_network(stack)
    assert 1 << (24 - plan.pods.prefixlen) >= AKS_NODES
    assert plan.node_subnet.num_addresses >= AKS_NODES


@pytest.mark.parametrize("environment", ["dev", "prod", "sandbox"])
def test_the_stack_files_name_their_schema_and_have_a_salt(environment: str):
    text = (STACKS / f"Pulumi.{environment}.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    assert re.search(r"^encryptionsalt: v1:\S+:v1:\S+:\S+$", text, re.MULTILINE), "a preview would write one"


def test_production_is_managed_and_its_system_pool_stands_in_three_zones():
    stack = load_file(STACKS / "Pulumi.prod.yaml")
    assert stack.autoscaler.mode == "managed"
    assert stack.cluster.tier == "Standard"
    assert (stack.cluster.system_pool.count, stack.cluster.system_pool.zones) == (3, ("1", "2", "3"))
    assert stack.cluster.authorized_ip_ranges or stack.cluster.private
    assert stack.cluster.administrators


def test_the_schema_in_the_repository_is_the_settings_own():
    assert TARGET.read_text(encoding="utf-8") == rendered(), "run: python -m stacks.schema"


def test_the_schema_knows_every_key_of_the_stack_files_and_refuses_others():
    config = json.loads(rendered())["properties"]["config"]
    assert config["additionalProperties"] is False
    for path in STACKS.glob("Pulumi.*.yaml"):
        for key in yaml.safe_load(path.read_text())["config"]:
            assert key in config["properties"], path
    assert set(config["required"]) == {"trainyard:location", "trainyard:pools"}


def test_bounds_reach_the_schema():
    pool = json.loads(rendered())["$defs"]["Pool"]["properties"]
    assert (pool["max"]["minimum"], pool["max"]["maximum"]) == (1, 1000)
    assert {"type": "boolean"} in pool["spot"]["anyOf"]


def models(model: type[Settings]) -> set[type[Settings]]:
    """A model and every other that it holds."""
    found = {model}
    for other in Settings.__subclasses__():
        if any(other.__name__ in str(field.annotation) for field in model.model_fields.values()) and other not in found:
            found |= models(other)
    return found


def test_every_setting_has_a_description():
    assert len(models(Stack)) > 12
    nameless = [
        f"{model.__name__}.{name}"
        for model in models(Stack)
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert nameless == []


def test_every_pattern_comes_with_an_example_for_the_error_to_show():
    def patterns(node: object) -> list[dict[str, object]]:
        if isinstance(node, list):
            return [found for one in cast("list[object]", node) for found in patterns(one)]
        if not isinstance(node, dict):
            return []
        known = cast("dict[str, object]", node)
        inner = [found for one in known.values() for found in patterns(one)]
        return [known, *inner] if known.get("type") == "string" and "pattern" in known else inner

    bare = [one for one in patterns(Stack.model_json_schema(mode="serialization")["$defs"]) if "title" in one]
    assert bare, "no pattern is left to look at"
    assert [one for one in bare if "examples" not in one] == []
