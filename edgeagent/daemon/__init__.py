"""Where objects meet: config -> sources, rules, outbox, uplinks, and the loops between them.

May import: everything but install web cli.
"""
