"""How a figure is printed."""

import json


def say(bench: str, value: float, unit: str, n: int) -> None:
    print(json.dumps({"bench": bench, "value": round(value, 3), "unit": unit, "n": n}), flush=True)
