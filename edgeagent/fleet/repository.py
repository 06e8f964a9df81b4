"""A signed repository as a folder of static files: made, changed and kept alive here.

    fleet.json      books        keys/      private keys, never served
    drafts/         put, not yet published
    public/         metadata/ and targets/: what a web server, an object store or a USB stick serves

Signed are: root (2 of 3 keys), targets (vendor files, and which key speaks for which city), one
role per city, snapshot and timestamp (online).  Files are written in an order in which a reader,
or a power cut, finds the old state or the new one: targets, delegated roles, targets, snapshot,
timestamp.  Versions of metadata are taken from the folder itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from edgeagent.errors import ConfigError
from edgeagent.fleet import books as book
from edgeagent.fleet import keys
from edgeagent.fleet.books import Books, Gateway, KeyPlace
from edgeagent.fleet.signing import TOP, SignedFolder
from edgeagent.fleet.token import Which
from edgeagent.update import durable, layers
from edgeagent.update.resolve import Named
from edgeagent.update.rings import CANDIDATE
from edgeagent.update.section import RINGS

__all__ = ["FIRST_RINGS", "Change", "Repository", "layer_name"]

FIRST_RINGS: dict[str, int] = {"canary": 100, "early": 0, "all": 0}
_ROOT_KEYS, _ROOT_THRESHOLD = 3, 2
_RESIGN_DAYS = 10  # refresh signs the snapshot anew when it has fewer days left


class Change(msgspec.Struct, frozen=True):
    """What a publication does to a file: `new`, `candidate`, `changed` or `removed`."""

    path: str
    what: str
    release: str


class Repository:
    """One maintainer's folder.

    Args:
        folder: see above.
        now_s: UTC epoch seconds, asked whenever something is signed.
        passphrase: of key files.
    """

    def __init__(
        self, folder: Path, now_s: Callable[[], float], passphrase: keys.Passphrase = keys.ask_passphrase
    ) -> None:
        self.signed = SignedFolder(folder, now_s, passphrase)
        self.folder, self.public, self.drafts = folder, self.signed.public, self.signed.drafts

    # --- making

    def init(self, tokens: Mapping[str, Which] | None = None) -> None:
        """Keys and first metadata: root with 2 of 3, targets, snapshot, timestamp.

        Args:
            tokens: PKCS#11 tokens by what they hold: `root-1` to `root-3`, `targets`, `snapshot`, `timestamp`;
                the other keys are files.

        Raises:
            ConfigError: there is a repository already; no such key or token.
        """
        wanted = dict(tokens or {})
        names = {role: [f"root-{n + 1}" for n in range(_ROOT_KEYS)] if role == "root" else [role] for role in TOP}
        known = [name for of_role in names.values() for name in of_role]
        for name in wanted:
            if name not in known:
                raise ConfigError("config.not-a-choice", path="--token", got=name, hint="", choices=", ".join(known))
        if (self.folder / "fleet.json").exists():
            raise ConfigError("fleet.exists", path="", folder=str(self.folder))
        for folder in (self.signed.metadata, self.public / "targets", self.drafts, self.signed.keys):
            folder.mkdir(parents=True, exist_ok=True)
        self.signed.keys.chmod(0o700)
        root = Root(consistent_snapshot=True)
        places: dict[str, list[KeyPlace]] = {}
        for role, of_role in names.items():
            for name in of_role:
                place, public = self.signed.new_key(name, wanted.get(name), take=True)
                if any(public.keyid == one.keyid for one in places.get(role, ())):
                    raise ConfigError("fleet.same-key", path="", role=role, place=place)
                root.add_key(public, role)
                places.setdefault(role, []).append(KeyPlace(public.keyid, place))
        root.roles["root"].threshold = _ROOT_THRESHOLD
        books = Books(keys=places)
        self.signed.sign_and_write(root, "root", books, 1, signers=root.roles["root"].keyids, public=root.keys)
        targets = Targets(delegations=Delegations(keys={}, roles={}))
        self.signed.sign_and_write(targets, "targets", books, 1, public=root.keys)
        snapshot = Snapshot(meta={"targets.json": MetaFile(1)})
        self.signed.sign_and_write(snapshot, "snapshot", books, 1, public=root.keys)
        self.signed.write_timestamp(books, 1, 1)
        book.write(self.folder, books)  # last: without it the folder is nobody's

    def add_city(self, city: str, on: Which | None = None) -> None:
        """A delegated role with a key of its own, in a file or on a token, for the paths below the city's name."""
        books = book.read(self.folder)
        _check_name(city, "city")
        if any(self.signed.metadata.glob(f"*.{city}.json")) or city in ("vendor", *TOP):
            raise ConfigError("fleet.city-exists", path="", city=city)
        place, public = self.signed.new_key(city, on, take=True)
        targets = self.signed.newest("targets", Targets)
        assert targets.delegations is not None and targets.delegations.roles is not None
        targets.delegations.roles[city] = DelegatedRole(
            city, [], 1, terminating=True, paths=[f"{city}/*", f"{city}/*/*"]
        )
        targets.add_key(public, city)
        books = msgspec.structs.replace(
            books,
            cities=tuple(dict.fromkeys((*books.cities, city))),
            keys={**books.keys, city: [KeyPlace(public.keyid, place)]},
        )
        book.write(self.folder, books)  # first: a key whose place nobody knows is lost
        self.signed.publish(books, {"targets": targets, city: Targets()})

    def add_gateway(self, gateway: str, made: Gateway) -> str:
        """Enter a gateway into the books; its name in the repository."""
        books = book.read(self.folder)
        self._owner(f"{made.city}/x", books)
        book.write(self.folder, msgspec.structs.replace(books, gateways={**books.gateways, gateway: made}))
        return book.name_of(self.folder, gateway, made.city)

    # --- changing

    def put(self, path: str, content: bytes | None) -> None:
        """Lay a file into the drafts; None takes it off the repository at the next publication.

        Raises:
            ConfigError: a path that belongs to nobody.
            UpdateRefused: content that may not be published (secrets, keys of the gateway's own file).
        """
        self._owner(path, book.read(self.folder))
        if content is not None and layer_name(path):
            layers.parse(content, name=layer_name(path), path=path, sequence=0)
        at = self.drafts / path
        at.parent.mkdir(parents=True, exist_ok=True)
        durable.write(at.with_name(at.name + ".removed") if content is None else at, content or b"", mode=0o644)
        at.with_name(at.name + ("" if content is None else ".removed")).unlink(missing_ok=True)

    def undo(self, path: str) -> None:
        """Take a draft back."""
        self._owner(path, book.read(self.folder))
        for name in (path, f"{path}.removed"):
            (self.drafts / name).unlink(missing_ok=True)

    def drafted(self) -> dict[str, bytes | None]:
        """What `publish` would sign: content by path; None for what goes away."""
        found: dict[str, bytes | None] = {}
        for file in sorted(p for p in self.drafts.rglob("*") if p.is_file() and not p.name.endswith(".new")):
            path = file.relative_to(self.drafts).as_posix()
            if path.endswith(".removed"):
                found[path.removesuffix(".removed")] = None
            else:
                found[path] = file.read_bytes()
        return found

    def publish(self, *, at_once: bool = False) -> list[Change]:
        """Sign the drafts.  What exists already goes out as a candidate, to the canary ring first.

        Args:
            at_once: skip the rollout (a first installation, an emergency).

        Returns:
            What was done; empty when there were no drafts.
        """
        drafts = self.drafted()
        if not drafts:
            return []
        books = self._next(book.read(self.folder))
        release = f"r{books.sequence}"
        roles: dict[str, Targets] = {}
        changes = []
        for path, content in drafts.items():
            role = self._owner(path, books)
            targets = roles.setdefault(role, self.signed.newest(role, Targets))
            changes.append(self._enter(targets, path, content, books.sequence, release, at_once=at_once))
        self.signed.publish(books, roles)
        for path, content in drafts.items():
            (self.drafts / (path if content is not None else f"{path}.removed")).unlink()
        return changes

    def promote(self, owner: str, ring: str, percent: int) -> list[Change]:
        """Give candidates to a share of a ring; all of `all` makes them the standing version.

        Args:
            owner: a city, or `vendor`.
            ring: canary, early, all.
            percent: 0 to 100.
        """
        if ring not in RINGS or not 0 <= percent <= 100:  # noqa: PLR2004  percent
            raise ConfigError("config.not-a-choice", path="ring", got=ring, choices=", ".join(RINGS), hint="")
        books, role, targets = self._owned(owner)
        done = []
        for path, file in self._candidates(targets, owner):
            custom = dict(_custom(file))
            rings = custom.get("rings")
            custom["rings"] = {**(rings if isinstance(rings, dict) else FIRST_RINGS), ring: percent}
            release = str(custom.get("release", ""))
            if ring == RINGS[-1] and percent == 100:  # noqa: PLR2004  everybody has it
                del targets.targets[path]
                standing = path.removesuffix(CANDIDATE)
                targets.targets[standing] = _signed(standing, file, {"seq": custom["seq"]})
                self.signed.store(standing, self.signed.stored(path, file))
                done.append(Change(standing, "standing", release))
            else:
                targets.targets[path] = _signed(path, file, custom)
                done.append(Change(path.removesuffix(CANDIDATE), f"{ring} {percent} %", release))
        if done:
            self.signed.publish(books, {role: targets})
        return done

    def halt(self, owner: str) -> list[Change]:
        """Take candidates back: the standing content goes out again under a higher sequence."""
        books, role, targets = self._owned(owner)
        books = self._next(books)
        done = []
        for path, file in self._candidates(targets, owner):
            standing = path.removesuffix(CANDIDATE)
            del targets.targets[path]
            if standing in targets.targets:
                targets.targets[standing] = _signed(standing, targets.targets[standing], {"seq": books.sequence})
            done.append(Change(standing, "halted", str(_custom(file).get("release", ""))))
        if done:
            self.signed.publish(books, {role: targets})
        return done

    # --- keeping alive

    def refresh(self) -> list[str]:
        """Sign the timestamp anew, and the snapshot when it is due.  For cron: needs the online keys only.

        Returns:
            Names of what was signed.
        """
        books = book.read(self.folder)
        snapshot = self.signed.newest("snapshot", Snapshot)
        done = []
        if self.signed.days_left(snapshot.expires) < _RESIGN_DAYS:
            snapshot.version += 1
            self.signed.sign_and_write(snapshot, "snapshot", books, snapshot.version)
            done.append("snapshot")
        self.signed.write_timestamp(books, self.signed.newest("timestamp", Timestamp).version + 1, snapshot.version)
        return [*done, "timestamp"]

    def resign(self, role: str) -> None:
        """Sign targets or a city anew, with a new expiry and nothing changed."""
        books = book.read(self.folder)
        self.signed.publish(books, {role: self.signed.newest(role, Targets)})

    # --- looking

    def names(self, owner: str = "") -> Iterator[Named]:
        """Every published file, candidates included; of one owner or of all."""
        books = book.read(self.folder)
        for role in ("targets", *books.cities):
            for path, file in self.signed.newest(role, Targets).targets.items():
                if not owner or path.startswith(f"{owner}/"):
                    yield Named(path, file.hashes["sha256"], file.length, _custom(file))

    def content(self, named: Named) -> bytes:
        """What was published under a name."""
        return self.signed.at(named.path, named.sha256).read_bytes()

    def expiries(self) -> dict[str, float]:
        """Days left, by role."""
        books = book.read(self.folder)
        left = {role: self.signed.days_left(self.signed.newest(role, kind).expires) for role, kind in _kinds(books)}
        return dict(sorted(left.items(), key=lambda pair: pair[1]))

    # --- inside

    def _owner(self, path: str, books: Books) -> str:
        """The role that signs a path."""
        top, slash, rest = path.partition("/")
        parts = path.split("/")
        if not slash or not rest or len(parts) > 3 or any(not p or p.startswith(".") for p in parts):  # noqa: PLR2004  city/kind/name
            raise ConfigError("fleet.bad-path", path="", got=path)
        if top == "vendor":
            return "targets"
        if top not in books.cities:
            raise ConfigError("fleet.no-city", path="", city=top, choices=", ".join(("vendor", *books.cities)))
        return top

    def _owned(self, owner: str) -> tuple[Books, str, Targets]:
        books = book.read(self.folder)
        role = self._owner(f"{owner}/x", books)
        return books, role, self.signed.newest(role, Targets)

    def _candidates(self, targets: Targets, owner: str) -> list[tuple[str, TargetFile]]:
        return [(p, f) for p, f in targets.targets.items() if p.endswith(CANDIDATE) and p.startswith(f"{owner}/")]

    def _enter(
        self, targets: Targets, path: str, content: bytes | None, sequence: int, release: str, *, at_once: bool
    ) -> Change:
        if content is None:
            targets.targets.pop(path, None)
            targets.targets.pop(path + CANDIDATE, None)
            return Change(path, "removed", release)
        staged = path in targets.targets and not at_once
        at = path + CANDIDATE if staged else path
        custom: dict[str, object] = {"seq": sequence}
        if staged:
            custom |= {"release": release, "rings": FIRST_RINGS}
        else:
            targets.targets.pop(path + CANDIDATE, None)
        what = "candidate" if staged else "changed" if path in targets.targets else "new"
        targets.targets[at] = _signed(at, TargetFile.from_data(at, content, ["sha256"]), custom)
        self.signed.store(at, content)
        return Change(path, what, release)

    def _next(self, books: Books) -> Books:
        """The next sequence, written down before it is used: a number that was burnt does no harm."""
        books = msgspec.structs.replace(books, sequence=books.sequence + 1)
        book.write(self.folder, books)
        return books


def layer_name(path: str) -> str:
    """The layer that a path holds; "" for models, profiles and anything else."""
    parts = path.split("/")
    if path == "vendor/agent.toml":
        return "vendor"
    if len(parts) == 2 and parts[1] == "city.toml":  # noqa: PLR2004  <city>/city.toml
        return "city"
    return {"group": "group", "dev": "device"}.get(parts[1], "") if len(parts) == 3 else ""  # noqa: PLR2004


def _kinds(books: Books) -> list[tuple[str, type[Root | Targets | Snapshot | Timestamp]]]:
    cities = [(city, Targets) for city in books.cities]
    return [("root", Root), ("targets", Targets), ("snapshot", Snapshot), ("timestamp", Timestamp), *cities]


def _signed(path: str, file: TargetFile, custom: dict[str, object]) -> TargetFile:
    return TargetFile(file.length, file.hashes, path, {"custom": json.loads(json.dumps(custom))})


def _custom(file: TargetFile) -> dict[str, object]:
    found = file.unrecognized_fields.get("custom")
    return found if isinstance(found, dict) else {}


def _check_name(name: str, path: str) -> None:
    if not name or not all(c.isascii() and (c.isalnum() or c in "_-") for c in name):
        raise ConfigError("config.bad-id", path=path, got=name)
