"""Dropping the aliases that nobody needs.

Every azure-native resource declares one alias for each API version it ever had, an AgentPool 110 of them, and the SDK
resolves each, dearer the deeper the resource's parent. They serve states written under versioned types (2.x and
before), which Trainyard never wrote. Without them a preview of 100 pools takes a third of the time.
"""

from __future__ import annotations

import pulumi


def without_version_aliases(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
    """A transformation that keeps every alias but azure-native's own type aliases."""
    aliases = args.opts.aliases
    if isinstance(aliases, list):
        args.opts.aliases = [alias for alias in aliases if not _is_version_alias(alias)]
    return pulumi.ResourceTransformationResult(args.props, args.opts)


def _is_version_alias(alias: object) -> bool:
    return isinstance(alias, pulumi.Alias) and isinstance(alias.type_, str) and alias.type_.startswith("azure-native")
