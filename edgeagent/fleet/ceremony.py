"""Keys changed without losing a gateway: root keys two of three, the others by the role above them."""

from __future__ import annotations

import msgspec
from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization.json import JSONSerializer

from edgeagent.errors import ConfigError
from edgeagent.fleet import books as book
from edgeagent.fleet import keys
from edgeagent.fleet.books import Books, KeyPlace
from edgeagent.fleet.signing import ONLINE, SignedFolder
from edgeagent.update import durable

__all__ = ["Ceremony"]


class Ceremony:
    """Rotation for one signed folder."""

    def __init__(self, signed: SignedFolder) -> None:
        self._signed = signed

    def rotate(self, role: str, *, token: bool = False) -> bool:
        """A new key for a role; the old one counts no longer.

        A city's and the targets-role's children need the targets key, everything else the root keys.
        After a theft of online keys rotate snapshot and timestamp both: the gateways' memory of
        versions starts again for roles whose keys changed.

        Args:
            role: a top-level role (`root-1`, `root-2`, `root-3` for one of the root keys), or a city.
            token: the new key is on a PKCS#11 token instead of a file.

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
        place, public = self._new_key(role, token=token)
        old = places[index]
        changed = [*places[:index], KeyPlace(public.keyid, place), *places[index + 1 :]]
        after = msgspec.structs.replace(books, keys={**books.keys, name: changed})
        if name in books.cities:
            targets = self._signed.newest("targets", Targets)
            targets.revoke_key(old.keyid, name)
            targets.add_key(public, name)
            book.write(self._signed.folder, after)
            self._signed.publish(after, {"targets": targets, name: self._signed.newest(name, Targets)})
            return True
        root = self._signed.newest("root", Root)
        root.revoke_key(old.keyid, name)
        root.add_key(public, name)
        root.version += 1
        book.write(self._signed.folder, after)
        signers = {*self._signed.newest("root", Root).roles["root"].keyids, *root.roles["root"].keyids}
        draft = Metadata(root)
        root.expires = self._signed.expiry("root", after)
        whole = self._sign_root(draft, after, signers, old=books)
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
        whole = self._sign_root(
            draft,
            books,
            set(draft.signed.roles["root"].keyids) | set(self._signed.newest("root", Root).roles["root"].keyids),
        )
        if whole:
            for role in ("targets", *ONLINE):
                self._resign_under(role, books)
        return whole

    # --- inside

    def _roles(self, books: Books) -> list[str]:
        roots = [f"root-{n + 1}" for n in range(len(books.keys.get("root", [])))]
        return [*roots, *(role for role in books.keys if role != "root")]

    def _sign_root(self, draft: Metadata[Root], books: Books, signers: set[str], *, old: Books | None = None) -> bool:
        """Sign a root with every root key that is here; write it out when old and new thresholds are met."""
        before = Metadata[Root].from_file(str(self._signed.newest_file("root")))
        known = {**before.signed.keys, **draft.signed.keys}
        for place in {p.keyid: p for b in (old, books) if b for p in b.keys["root"]}.values():
            if place.keyid in signers and place.keyid in known:
                signer = keys.load(place.place, known[place.keyid], self._signed.keys, self._signed.passphrase)
                if signer is not None:
                    draft.sign(signer, append=True)
        waiting = self._signed.drafts / "root.json"
        good = all(
            one.get_verification_result("root", draft.signed_bytes, draft.signatures).verified
            for one in (before.signed, draft.signed)
        )
        if good:
            self._signed.write(draft, "root", draft.signed.version)
            waiting.unlink(missing_ok=True)
        else:
            durable.write(waiting, draft.to_bytes(JSONSerializer()), mode=0o644)
        return good

    def _resign_under(self, role: str, books: Books) -> None:
        """What a role's old key had signed, signed by its new one."""
        if role == "targets":
            self._signed.publish(books, {"targets": self._signed.newest("targets", Targets)})
        elif role in ONLINE:
            self._signed.publish(books, {})

    def _new_key(self, role: str, *, token: bool) -> tuple[str, Key]:
        if token:
            return keys.import_token()
        n = 2
        while (self._signed.keys / f"{role}.{n}.pem").exists():
            n += 1
        signer = keys.make(self._signed.keys / f"{role}.{n}.pem", self._signed.passphrase(f"{role}.{n}.pem"))
        return f"{role}.{n}.pem", signer.public_key
