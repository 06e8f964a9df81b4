"""Keys changed without losing a gateway: root keys two of three, the others by the role above them."""

from __future__ import annotations

import msgspec
from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Role, Root, Targets
from tuf.api.serialization.json import JSONSerializer

from edgeagent.errors import ConfigError
from edgeagent.fleet import books as book
from edgeagent.fleet import keys
from edgeagent.fleet.books import Books, KeyPlace
from edgeagent.fleet.signing import ONLINE, SignedFolder
from edgeagent.fleet.token import Which
from edgeagent.update import durable

__all__ = ["Ceremony"]


class Ceremony:
    """Rotation for one signed folder."""

    def __init__(self, signed: SignedFolder) -> None:
        self._signed = signed

    def rotate(self, role: str, *, on: Which | None = None) -> bool:
        """A new key for a role; the old one counts no longer.

        A city's and the targets-role's children need the targets key, everything else the root keys.
        After a theft of online keys rotate snapshot and timestamp both: the gateways' memory of
        versions starts again for roles whose keys changed.

        Args:
            role: a top-level role (`root-1`, `root-2`, `root-3` for one of the root keys), or a city.
            on: the new key is on a PKCS#11 token instead of a file.

        Returns:
            False: the new root waits in `drafts/` for another holder's signature (`sign_root`).
        """
        books = book.read(self._signed.folder)
        name, index = role, 0
        if role.startswith("root-") and role[5:].isdigit():
            name, index = "root", int(role[5:]) - 1
        places = books.keys.get(name, [])
        if index >= len(places) or role == "root":
            raise ConfigError(
                "config.not-a-choice", path="role", got=role, hint="", choices=", ".join(self._roles(books))
            )
        n = 2
        while (self._signed.keys / f"{role}.{n}.pem").exists():
            n += 1
        place, public = self._signed.new_key(f"{role}.{n}", on)
        if any(public.keyid == one.keyid for one in places):
            raise ConfigError("fleet.same-key", path="", role=name, place=place)
        changed = [*places[:index], KeyPlace(public.keyid, place), *places[index + 1 :]]
        after = msgspec.structs.replace(books, keys={**books.keys, name: changed})
        try:
            return self._exchange(name, public, books, after)
        except ConfigError:
            if on is None and book.read(self._signed.folder) == books:
                (self._signed.keys / place).unlink()  # nobody has heard of it
            raise

    def _exchange(self, name: str, public: Key, books: Books, after: Books) -> bool:
        """Name the new key where the old one was; every signature is proven to be had before anything is written."""
        if name in books.cities:
            targets = self._signed.newest("targets", Targets)
            _exchange_keys(targets, name, public, after)
            roles = {"targets": targets, name: self._signed.newest(name, Targets)}
            self._signed.prove(roles, after)
            book.write(self._signed.folder, after)
            self._signed.publish(after, roles)
            return True
        root = self._signed.newest("root", Root)
        _exchange_keys(root, name, public, after)
        root.version += 1
        root.expires = self._signed.expiry("root", after)
        draft = Metadata(root)
        signers = {*self._signed.newest("root", Root).roles["root"].keyids, *root.roles["root"].keyids}
        whole = self._sign(draft, after, signers, old=books)
        if whole and name != "root":
            self._signed.prove(
                {"targets": self._signed.newest("targets", Targets)} if name == "targets" else {}, after, root
            )
        book.write(self._signed.folder, after)
        self._keep(draft, whole=whole)
        if whole:
            self._resign_under(name, after)
        return whole

    def sign_root(self) -> bool:
        """Add the signatures of the root keys that are here to the waiting root; publish it when they suffice."""
        waiting = self._signed.drafts / "root.json"
        if not waiting.is_file():
            raise ConfigError("fleet.no-root-draft", path="", file=str(waiting))
        books = book.read(self._signed.folder)
        draft = Metadata[Root].from_file(str(waiting))
        signers = {*draft.signed.roles["root"].keyids, *self._signed.newest("root", Root).roles["root"].keyids}
        whole = self._sign(draft, books, signers)
        self._keep(draft, whole=whole)
        if whole:
            for role in ("targets", *ONLINE):
                self._resign_under(role, books)
        return whole

    # --- inside

    def _roles(self, books: Books) -> list[str]:
        roots = [f"root-{n + 1}" for n in range(len(books.keys.get("root", [])))]
        return [*roots, *(role for role in books.keys if role != "root")]

    def _sign(self, draft: Metadata[Root], books: Books, signers: set[str], *, old: Books | None = None) -> bool:
        """Sign a root with every root key that is here; whether old and new thresholds are met."""
        before = Metadata[Root].from_file(str(self._signed.newest_file("root")))
        known = {**before.signed.keys, **draft.signed.keys}
        for place in {p.keyid: p for b in (old, books) if b for p in b.keys["root"]}.values():
            if place.keyid in signers and place.keyid in known:
                signer = keys.load(place.place, known[place.keyid], self._signed.keys, self._signed.passphrase)
                if signer is not None:
                    draft.sign(signer, append=True)
        return all(
            one.get_verification_result("root", draft.signed_bytes, draft.signatures).verified
            for one in (before.signed, draft.signed)
        )

    def _keep(self, draft: Metadata[Root], *, whole: bool) -> None:
        """Write a root out where it is whole; else it waits for another holder."""
        waiting = self._signed.drafts / "root.json"
        if whole:
            self._signed.write(draft, "root", draft.signed.version)
            waiting.unlink(missing_ok=True)
        else:
            durable.write(waiting, draft.to_bytes(JSONSerializer()), mode=0o644)

    def _resign_under(self, role: str, books: Books) -> None:
        """What a role's old key had signed, signed by its new one."""
        if role == "targets":
            self._signed.publish(books, {"targets": self._signed.newest("targets", Targets)})
        elif role in ONLINE:
            self._signed.publish(books, {})


def _exchange_keys(signed: Root | Targets, role: str, public: Key, books: Books) -> None:
    """Name a role's new key, and no key that the books do not; an attempt that was cut short left others."""
    signed.add_key(public, role)
    wanted = {one.keyid for one in books.keys[role]}
    named = signed.roles[role] if isinstance(signed, Root) else _delegated(signed, role)
    for keyid in [one for one in named.keyids if one not in wanted]:
        signed.revoke_key(keyid, role)


def _delegated(targets: Targets, role: str) -> Role:
    assert targets.delegations is not None and targets.delegations.roles is not None
    return targets.delegations.roles[role]
