"""The program that `pulumi up` runs: load the settings, build the platform, export what comes next."""

from __future__ import annotations

import pulumi
from capacity.checks import load
from stacks.loading import SettingsErrors

from infra.config import stack_values
from infra.platform import Platform, environment

try:
    settings = load(stack_values())
except SettingsErrors as problem:
    raise pulumi.RunError(str(problem)) from None

platform = Platform("trainyard", environment=environment(settings), settings=settings)
for key, value in platform.outputs.items():
    pulumi.export(key, value)
