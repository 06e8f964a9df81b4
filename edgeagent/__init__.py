"""edgeagent: the gateway agent of riversides and roadsides.  Rooms and who may know whom: tests/test_rooms.py."""

__version__ = "0.1.0"
