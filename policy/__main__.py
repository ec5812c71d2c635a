"""The pack's list of rules: what the engine starts for `pulumi preview --policy-pack policy`."""

from __future__ import annotations

import sys
from pathlib import Path

# The engine starts this folder by its path, and from any project's: its packages lie beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policy.engine import Pack, serve
from policy.rules import RULES

serve(Pack("trainyard", RULES))
