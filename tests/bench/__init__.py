"""Figures, not tests: `make bench` prints one JSON line each, `{"bench", "value", "unit", "n"}`.

Everything a figure needs runs in processes of its own, so that only the agent's work is counted.
"""
