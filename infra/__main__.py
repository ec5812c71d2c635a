"""The program that `pulumi up` runs: load the settings, build the platform, export what comes next."""

from __future__ import annotations

import pulumi

from capacity.checks import SettingsErrors, load
from infra.config import secret_keys, stack_values
from infra.platform import Platform, environment

try:
    settings = load(stack_values(), secret_keys())
except SettingsErrors as problem:
    raise pulumi.RunError(str(problem)) from None

platform = Platform("trainyard", environment=environment(settings), settings=settings)
for key, value in platform.outputs.items():
    pulumi.export(key, value)
