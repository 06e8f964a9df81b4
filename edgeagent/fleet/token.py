"""Signing keys on a PKCS#11 token (YubiKey, Nitrokey, SoftHSM): they sign there and never leave it.

A place is `hsm:<id>?label=<label>`, as securesystemslib writes it; keys are EC P-256 or P-384.  The token's
library is named by PYKCS11LIB.  Extra `edgeagent[fleet]`.

A wrong PIN counts against the token, and after a few of them it locks itself.  So a PIN is tried once,
before anything is written, and is never the passphrase of a key file that happened to be at hand.
"""

from __future__ import annotations

import os
import urllib.parse
from typing import TYPE_CHECKING, NoReturn

from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import HSMSigner, Key, Signature, SSlibKey

from edgeagent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pkcs11

__all__ = ["Which", "is_token", "load", "public_half"]

_SCHEME = "hsm:"


class Which:
    """A token by its label, and a key on it by its number where it holds several.

    Args:
        text: `LABEL` or `LABEL/NUMBER`, as a person types it.

    Attributes:
        label, number: number is None for the only key there is.
    """

    def __init__(self, text: str) -> None:
        label, _, number = text.rpartition("/")
        numbered = bool(label) and number.isdecimal()
        self.label: str = label if numbered else text
        self.number: int | None = int(number) if numbered else None

    @classmethod
    def of_place(cls, place: str) -> Which:
        """From `hsm:…`."""
        number, _, query = place.removeprefix(_SCHEME).partition("?")
        made = cls(dict(urllib.parse.parse_qsl(query)).get("label", ""))
        made.number = int(number) if number.isdecimal() else HSMSigner.SCHEME_KEYID
        return made


def is_token(place: str) -> bool:
    """Whether a key's place is a token."""
    return place.startswith(_SCHEME)


def public_half(which: Which, pin: Callable[[str], str]) -> tuple[str, Key]:
    """(place, public key) of a key on a token that is plugged in.

    Args:
        which: token and key.
        pin: asked where the token shows nothing without one.

    Raises:
        ConfigError: no library, no such token, two of them, no such key, wrong PIN.
    """
    with _Told(which.label):
        token = _token(which.label)
        if token is None:
            raise ConfigError("fleet.no-token", path="", label=which.label, there=", ".join(_labels()) or "-")
        with token.open() as session:
            numbers = _numbers(session)
        asked = "" if numbers else pin(f"{_SCHEME}?label={which.label}")
        if asked:
            with token.open(user_pin=asked) as session:
                numbers = _numbers(session)
        number = which.number if which.number is not None or len(numbers) != 1 else numbers[0]
        if number is None or number not in numbers:
            there = ", ".join(f"{which.label}/{n}" for n in numbers)
            raise ConfigError("fleet.no-token-key", path="", label=which.label, there=there or "-")
        return HSMSigner.import_(number, which.label, lambda _: asked)


def load(place: str, public: Key, pin: Callable[[str], str]) -> HSMSigner | None:
    """The signer behind a key, its PIN proven; None where its token is not plugged in here.

    Args:
        place: `hsm:…`.
        public: its public half, as the metadata names it.
        pin: asked once per place.

    Raises:
        ConfigError: as `public_half`; or the key on the token is another one.
    """
    which = Which.of_place(place)
    if not os.environ.get("PYKCS11LIB"):
        return None  # as a file that is not here: another person holds it
    with _Told(which.label):
        token = _token(which.label)
        if token is None:
            return None
        said = pin(place)
        with token.open(user_pin=said) as session:
            if which.number not in _numbers(session):
                raise ConfigError("fleet.no-token-key", path="", label=which.label, there="-")
        _, found = HSMSigner.import_(which.number, which.label, lambda _: said)
        if found.keyval != public.keyval:
            raise ConfigError("fleet.other-token-key", path="", label=which.label, place=place)
        assert isinstance(public, SSlibKey)  # the only kind we make
        assert which.number is not None  # a place always has one
        return _Signer(which.number, public, lambda _: said, which.label)
    return None


class _Signer(HSMSigner):
    """Says in our words what a token says: it may be pulled out between two signatures."""

    def sign(self, payload: bytes) -> Signature:
        with _Told(self.token_label or ""):
            return super().sign(payload)
        raise AssertionError


class _Told:
    """Turns what the library raises into an error that a person can act on."""

    def __init__(self, label: str) -> None:
        self._label = label

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, UnsupportedLibraryError | ImportError):
            raise ConfigError("fleet.no-pkcs11", path="", why="python-pkcs11") from error
        if isinstance(error, ValueError):
            raise ConfigError("fleet.key-unreadable", path="", key=self._label, why=str(error)) from error
        if error is not None and not isinstance(error, ConfigError) and isinstance(error, Exception):
            self._of_the_library(error)

    def _of_the_library(self, error: Exception) -> NoReturn:
        name = type(error).__name__
        if name in ("PinIncorrect", "PinLenRange", "PinInvalid"):
            raise ConfigError("fleet.wrong-pin", path="", label=self._label) from error
        if name == "PinLocked":
            raise ConfigError("fleet.pin-locked", path="", label=self._label) from error
        raise ConfigError("fleet.key-unreadable", path="", key=self._label, why=f"{name} {error}".strip()) from error


def _tokens() -> list[pkcs11.Token]:
    file = os.environ.get("PYKCS11LIB", "")
    if not file:
        raise ConfigError("fleet.no-pkcs11", path="", why="PYKCS11LIB")
    import pkcs11  # noqa: PLC0415  an extra: only who has a token needs it

    try:
        return list(pkcs11.lib(file).get_tokens(token_flags=pkcs11.TokenFlag.TOKEN_INITIALIZED))
    except pkcs11.PKCS11Error as error:
        raise ConfigError("fleet.no-pkcs11", path="", why=str(error) or f"{file}: {type(error).__name__}") from error


def _labels() -> list[str]:
    return sorted({token.label for token in _tokens()})


def _token(label: str) -> pkcs11.Token | None:
    found = [token for token in _tokens() if token.label == label]
    if len(found) > 1:
        serials = ", ".join(sorted(token.serial.decode(errors="replace") for token in found))
        raise ConfigError("fleet.tokens-alike", path="", label=label, serials=serials)
    return found[0] if found else None


def _numbers(session: pkcs11.Session) -> list[int]:
    """Numbers of the EC keys whose public half is to be seen."""
    import pkcs11  # noqa: PLC0415  as above

    wanted = {
        pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY,
        pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.EC,
    }
    return sorted(int.from_bytes(key[pkcs11.Attribute.ID], "big") for key in session.get_objects(wanted))
