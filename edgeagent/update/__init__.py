"""Signed metadata -> the next start: fetch, verify, merge, try, prove, keep or go back.

Nothing here mutates a running daemon: a new config is a new process.  `trust`, `origin` and `poll`
live only in short-lived processes (tuf and cryptography cost 20 MB); `trial`, `layers` and `rings`
are pure; `slots` is what the daemon reads.
May import: words config errors clock reading messages shipped security_log.
"""
