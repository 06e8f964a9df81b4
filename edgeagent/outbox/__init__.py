"""SHELL  readings that survive a power cut.  May import: reading errors clock backoff ports; sqlite3."""
