"""The maintainer's room: drafts -> a signed folder that any web server can serve; the fleet's state back.

Runs on a laptop or in CI, never on a gateway.
May import: words config errors clock reading update messages; tuf securesystemslib pkcs11 cryptography paho rich.
"""
