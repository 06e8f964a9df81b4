"""What must not lose anything: cut lines, killed processes, power cuts, bad disks, wrong clocks.

Every run ends with the same comparison (`verdict`): what was accepted against what arrived.
EDGEAGENT_ROUNDS makes the runs longer; `make torture` sets it.
"""
