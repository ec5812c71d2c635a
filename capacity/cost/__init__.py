"""What a stack costs a month, from its settings or from the resources that a program registers.

One model, fed by both: `items` says what Azure bills, `prices` what a piece costs, `bill` adds up. Pure; only
`live.py`, which reads Azure's retail price API, and the command line do any I/O beyond reading data.
"""

from capacity.cost.bill import Bill, Line, bill, budget_load, over_budget, usd
from capacity.cost.items import MAXIMUM, MINIMUM, Item, Load
from capacity.cost.resources import Declared, from_resources
from capacity.cost.settings import from_settings

__all__ = [
    "MAXIMUM",
    "MINIMUM",
    "Bill",
    "Declared",
    "Item",
    "Line",
    "Load",
    "bill",
    "budget_load",
    "from_resources",
    "from_settings",
    "over_budget",
    "usd",
]
