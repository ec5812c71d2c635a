"""The azure-native provider's stand-in: the engine's protocol on one side, Resource Manager on the other.

Behaves as the real one does where a program can tell: autonaming, previews, replacements, refresh, refusing to
create what exists, partial failures. Where it is stricter, its refusal is Resource Manager's own answer.
"""
