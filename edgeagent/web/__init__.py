"""SHELL  the page on demand: what the agent says of itself, for a phone beside the river.

No port is open unless a person asked for one with `edgeagent web`.  What the page shows and does comes
in through functions that the verb hands over, so this room opens no device and reads no config.
May import: errors clock messages reading words history daemon security_log; cryptography.
"""
