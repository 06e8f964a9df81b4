"""The HTTP side of the embedded city: requests in, the city's memory asked, answers out."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import ssl
import threading
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgeagent.simulate.city_shapes import BadShapeError, ld_entity, ld_temporal, ql_entities, v2_entities

if TYPE_CHECKING:
    from edgeagent.simulate.city import City, Fault

__all__ = ["CityServer"]

_LARGEST = 1_000_000  # Orion's and Orion-LD's limit of a request body
_MOST = 1000  # Vela's limit of entities in a batch
_ERRORS = "https://uri.etsi.org/ngsi-ld/errors/"
_CONTEXT = Path(__file__).parent.parent / "ngsi" / "context.jsonld"
_OK, _CREATED, _NO_CONTENT, _MULTI, _BAD = 200, 201, 204, 207, 400
_UPSERT, _TEMPORAL = "/ngsi-ld/v1/entityOperations/upsert", "/ngsi-ld/v1/temporal/entities"
_UPDATE, _NOTIFY, _TOKEN = "/v2/op/update", "/v2/notify", "/oauth2/token"


class CityServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Listens for one city, and can drop every connection at once.

    Args:
        city: whose memory and script it serves.
        port: on 127.0.0.1; 0 chooses a free one.
        tls: server side context; None for plain HTTP.
    """

    daemon_threads = True
    tells_history = True  # False: a temporal interface that can only be written
    block_on_close = False
    request_queue_size = 32

    def __init__(self, city: City, port: int, tls: ssl.SSLContext | None) -> None:
        self.city = city
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def server_bind(self) -> None:
        """Bind without asking the resolver for our name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  socketserver's signature
        """Remember the connection, to be able to drop it."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401  socketserver's signature
        """Forget the connection."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def drop(self) -> None:
        """Cut every connection."""
        with self._open_lock:
            for request in self._open:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or a line we cut, is not worth a traceback."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: CityServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Silence: the demo draws its own view."""

    def do_GET(self) -> None:
        """Let people look."""
        city = self.server.city
        parts = urllib.parse.urlsplit(self.path)
        query = {name: values[0] for name, values in urllib.parse.parse_qs(parts.query).items()}
        type_ = query.get("type", "")
        entities = [e for e in city.entities() if type_ in ("", e["type"])]
        if parts.path in ("/ngsi-ld/v1/entities", "/v2/entities"):
            self._say(_OK, entities)
        elif parts.path.startswith("/v2/entities/") and parts.path.endswith("/value") and self.server.tells_history:
            if self._may_enter():
                _, _, _, entity, _, name, _ = urllib.parse.unquote(parts.path).split("/")
                self._tell_values(entity, name, query)
        elif parts.path.startswith(("/ngsi-ld/v1/entities/", "/v2/entities/")):
            wanted = urllib.parse.unquote(parts.path.rpartition("/")[2])
            found = [e for e in entities if e["id"] == wanted]
            self._say(_OK, found[0]) if found else self._problem(404, "ResourceNotFound", wanted)
        elif parts.path.startswith(_TEMPORAL + "/") and self.server.tells_history:
            if self._may_enter():
                self._tell_moments(urllib.parse.unquote(parts.path.rpartition("/")[2]), query)
        elif parts.path == "/context.jsonld" and _CONTEXT.is_file():
            self._say(_OK, msgspec.Raw(_CONTEXT.read_bytes()), kind="application/ld+json")
        elif parts.path == "/":
            self._say(_OK, city.snapshot())
        else:
            self._problem(404, "ResourceNotFound", parts.path)

    def do_POST(self) -> None:
        """A write, or the fault that is scripted for it."""
        city = self.server.city
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            self._refuse(411, "InvalidRequest", "Content-Length is required")
            return
        body = self.rfile.read(int(length))
        if self.path == _TOKEN:
            self._issue(body)
            return
        with city.lock:
            city.memory.requests += 1
            fault = city.faults.popleft() if city.faults else None
        if fault is not None and self._misbehave(fault, body):
            return
        self._write(body)

    def _misbehave(self, fault: Fault, body: bytes) -> bool:
        """Whether that was the answer."""
        if fault.how == "hang":
            self.server.city.stopping.wait(fault.seconds)
            return False
        if fault.stored:
            self._store(body)
        if fault.how == "answer":
            headers = {"Location": fault.location} if fault.location else {}
            if fault.retry_after_s is not None:
                headers["Retry-After"] = str(fault.retry_after_s)
            text = fault.body or f'{{"type":"{_ERRORS}InternalError","title":"scripted {fault.status}"}}'
            self._refuse(fault.status, "", "", raw=text.encode(), headers=headers)
            return True
        if fault.how == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        return True

    def _issue(self, body: bytes) -> None:
        tokens = self.server.city.tokens
        told = tokens.issue(self.headers.get("Authorization", ""), body.decode("ascii", "replace")) if tokens else None
        self._say(*((_OK, told) if told else (401, {"error": "invalid_client"})))

    def _may_enter(self) -> bool:
        """Whether token and tenant are good; says so where they are not."""
        city = self.server.city
        wrong = city.token and self.headers.get("X-Auth-Token") != city.token
        if wrong or (city.tokens and not city.tokens.good(self.headers.get("Authorization", ""))):
            self._refuse(401, "", "token missing or wrong")
            return False
        tenant = self.headers.get("NGSILD-Tenant") or self.headers.get("Fiware-Service") or ""
        if city.tenants and tenant not in city.tenants:
            self._refuse(404, "NonexistentTenant", tenant)
            return False
        return True

    def _tell_moments(self, entity: str, query: dict[str, str]) -> None:
        """The temporal representation of the attributes asked for, between two times."""
        since, until = query.get("timeAt", ""), query.get("endTimeAt", "")
        if query.get("timerel") != "between" or not since or not until:
            self._problem(_BAD, "BadRequestData", "timerel=between with timeAt and endTimeAt is what is known here")
            return
        with self.server.city.lock:
            known = self.server.city.memory.current.get(entity)
            found = self.server.city.memory.between(entity, since, until)
        if known is None:
            self._problem(404, "ResourceNotFound", entity)
            return
        told = {"id": entity, "type": known["type"]}
        for name in filter(None, query.get("attrs", "").split(",")):
            told[name] = [
                {"type": "Property", "value": i.values[name], "observedAt": i.observed_at}
                for i in found
                if name in i.values
            ]
        self._say(_OK, told)

    def _tell_values(self, entity: str, name: str, query: dict[str, str]) -> None:
        """The history of one attribute as QuantumLeap tells it."""
        with self.server.city.lock:
            found = self.server.city.memory.between(entity, query.get("fromDate", ""), query.get("toDate", "~"))
        told = [i for i in found if name in i.values]
        if told:
            self._say(_OK, {"index": [i.observed_at for i in told], "values": [i.values[name] for i in told]})
        else:
            self._say(404, {"error": "Not Found", "description": "No records were found for such query."})

    def _write(self, body: bytes) -> None:
        city = self.server.city
        if not self._may_enter():
            return
        if len(body) > _LARGEST:
            self._refuse(413, "InvalidRequest", "RequestEntityTooLarge")
            return
        status, reply = self._store(body)
        if status >= _BAD:
            with city.lock:
                city.memory.refused += 1
        self._say(status, reply)

    def _store(self, body: bytes) -> tuple[int, Any]:
        """Apply a write; returns status and body of the answer."""
        path = urllib.parse.urlsplit(self.path).path.rstrip("/")
        handlers = {
            _UPSERT: self._upsert,
            _TEMPORAL: self._temporal,
            _UPDATE: self._update,
            _NOTIFY: self._notify,
        }
        if path not in handlers:
            return 404, _details(404, "ResourceNotFound", path)
        kind = self.headers.get_content_type()
        if kind != "application/json" or (path == _UPDATE and "Link" in self.headers):
            return 415, _details(415, "InvalidRequest", kind)
        try:
            found = msgspec.json.decode(body)
            with self.server.city.lock:
                return handlers[path](found)
        except (msgspec.DecodeError, BadShapeError, ValueError) as error:
            return _BAD, _details(_BAD, "BadRequestData", str(error))

    def _upsert(self, found: Any) -> tuple[int, Any]:  # noqa: ANN401  parsed JSON
        if not isinstance(found, list) or not found or len(found) > _MOST:
            raise BadShapeError(f"a batch is an array of 1 to {_MOST} entities")
        city, created, success, errors = self.server.city, [], [], []
        read = [ld_entity(item, concise=city.concise) for item in found]
        ids = [instance.entity for instance, _ in read]
        city.memory.repeated += len(ids) - len(set(ids))
        if any(city.poisoned.get(i) for i in ids):
            raise BadShapeError("one of the entities is not acceptable")
        for instance, attributes in read:
            if instance.entity in city.poisoned:
                error = _details(_BAD, "BadRequestData", "this entity is not acceptable")
                errors.append({"entityId": instance.entity, "error": error})
            elif instance.entity in city.busy:
                errors.append({"entityId": instance.entity, "error": _details(503, "InternalError", "overloaded")})
            else:
                success.append(instance.entity)
                if city.memory.upsert(instance, attributes):
                    created.append(instance.entity)
        if errors:
            return _MULTI, {"success": success, "errors": errors}
        return (_CREATED, created) if created else (_NO_CONTENT, None)

    def _temporal(self, found: Any) -> tuple[int, Any]:  # noqa: ANN401  parsed JSON
        instances, attributes = ld_temporal(found)
        city = self.server.city
        if instances and instances[0].entity in city.poisoned:
            raise BadShapeError("this entity is not acceptable")
        return (_CREATED if city.memory.add_history(instances, attributes) else _NO_CONTENT), None

    def _update(self, found: Any) -> tuple[int, Any]:  # noqa: ANN401  parsed JSON
        city = self.server.city
        read = list(v2_entities(found))
        if any(instance.entity in city.poisoned for instance, _ in read):
            raise BadShapeError("one of the entities is not acceptable")
        ids = [instance.entity for instance, _ in read]
        city.memory.repeated += len(ids) - len(set(ids))
        for instance, attributes in read:
            city.memory.upsert(instance, attributes)
        return _NO_CONTENT, None

    def _notify(self, found: Any) -> tuple[int, Any]:  # noqa: ANN401  parsed JSON
        city = self.server.city
        instances = [instance for instance, _ in ql_entities(found)]
        if any(instance.entity in city.poisoned for instance in instances):
            raise BadShapeError("one of the entities is not acceptable")
        city.memory.note(instances)
        return _OK, "Notification successfully processed"

    def _problem(self, status: int, kind: str, detail: str) -> None:
        self._say(status, _details(status, kind, detail))

    def _refuse(
        self, status: int, kind: str, detail: str, *, raw: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        with self.server.city.lock:
            self.server.city.memory.refused += 1
        self._say(status, msgspec.Raw(raw) if raw else _details(status, kind, detail), headers=headers)

    def _say(
        self, status: int, body: object, *, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        content = b"" if body is None else msgspec.json.encode(body)
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string())
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if content:
            self.send_header("Content-Type", kind)
        if status != _NO_CONTENT:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _details(status: int, kind: str, detail: str) -> dict[str, object]:
    return {"type": _ERRORS + (kind or "InternalError"), "title": kind or "refused", "detail": detail, "status": status}
