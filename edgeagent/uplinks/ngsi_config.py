"""The config sections of `ngsi-ld` and `ngsi-v2`; `ngsi_http` does what they say."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from edgeagent.errors import ConfigError
from edgeagent.ngsi import v2
from edgeagent.ports import UplinkConfig
from edgeagent.uplinks.http import Auth
from edgeagent.uplinks.lanes import History
from edgeagent.uplinks.tls import pair_problems

__all__ = ["NgsiHttpConfig", "NgsiLdConfig", "NgsiV2Config"]

_CORE_CONTEXT = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.6.jsonld"


class NgsiHttpConfig(UplinkConfig, frozen=True, kw_only=True):
    """Keys of both drivers.

    Attributes:
        url: address of the broker, up to and without `/ngsi-ld` or `/v2`.
        tenant: NGSILD-Tenant or Fiware-Service.
        history: what becomes of values older than the newest; see `lanes`.
        token: name of the credential that holds the token (`oauth2`: the client's secret); "" for none.
        auth: the header that carries it; `oauth2` gets tokens by client credentials.
        token_url: for `oauth2`, address of the token endpoint.
        client_id: for `oauth2`.
        scope: for `oauth2`, where the server wants one.
        ca, cert, key: PEM files; `cert = "identity"` is the claimed one; see `tls`.
        timeout_s: for one request, connecting included.
        max_body: bytes of one request.
        max_entities: entities of one request.
    """

    url: str
    tenant: str = ""
    history: History = "replay-ending-on-newest"
    token: str = ""
    auth: Auth = "x-auth-token"
    token_url: str = ""
    client_id: str = ""
    scope: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=300)] = 20.0
    max_body: Annotated[int, msgspec.Meta(ge=2_000, le=1_000_000)] = 500_000
    max_entities: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 500

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        if not _good_url(self.url):
            yield ConfigError("uplinks.bad-url", path="url", got=self.url)
        if self.tenant and not (self.tenant.isascii() and self.tenant.isprintable() and " " not in self.tenant):
            yield ConfigError("uplinks.bad-tenant", path="tenant", got=self.tenant)
        if "/" in self.token or self.token.startswith("."):
            yield ConfigError("uplinks.bad-credential-name", path="token", got=self.token)
        yield from pair_problems(self.cert, self.key)
        yield from self._oauth_problems()

    def _oauth_problems(self) -> Iterable[ConfigError]:
        if self.auth == "oauth2":
            for name in ("token_url", "client_id", "token"):
                if not getattr(self, name):
                    yield ConfigError("config.missing", path=name, expected='auth = "oauth2"')
        if self.token_url and not _good_url(self.token_url):
            yield ConfigError("uplinks.bad-url", path="token_url", got=self.token_url)


class NgsiLdConfig(NgsiHttpConfig, frozen=True, kw_only=True):
    """`driver = "ngsi-ld"`.

    Attributes:
        context: URL of the @context that the broker can fetch; ours is `edgeagent/ngsi/context.jsonld`.
        form: how entities are written down; `concise` is smaller, for brokers from CIM 009 v1.6 on.
    """

    history: Literal["temporal", "replay-ending-on-newest", "drop"] = "replay-ending-on-newest"
    form: Literal["normalized", "concise"] = "normalized"
    context: str = _CORE_CONTEXT

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        yield from super().problems()
        if self.context and (not self.context.startswith(("http://", "https://")) or not self.context.isascii()):
            yield ConfigError("uplinks.bad-url", path="context", got=self.context)


class NgsiV2Config(NgsiHttpConfig, frozen=True, kw_only=True):
    """`driver = "ngsi-v2"`.

    Attributes:
        service_path: Fiware-ServicePath, e.g. `/river/nagano`.
        quantumleap_url: for `history = "quantumleap"`, address of QuantumLeap, without `/v2`.
    """

    history: Literal["quantumleap", "replay-ending-on-newest", "drop"] = "replay-ending-on-newest"
    quantumleap_url: str = ""
    service_path: str = "/"

    def problems(self) -> Iterable[ConfigError]:
        """Checks that types cannot express."""
        yield from super().problems()
        if not v2.good_service(self.tenant):
            yield ConfigError("uplinks.bad-tenant", path="tenant", got=self.tenant)
        if self.history == "quantumleap" and not self.quantumleap_url:
            yield ConfigError("config.missing", path="quantumleap_url", expected='history = "quantumleap"')
        if self.quantumleap_url and not _good_url(self.quantumleap_url):
            yield ConfigError("uplinks.bad-url", path="quantumleap_url", got=self.quantumleap_url)
        if not v2.good_service_path(self.service_path):
            yield ConfigError("uplinks.bad-service-path", path="service_path", got=self.service_path)


def _good_url(text: str) -> bool:
    parts = urllib.parse.urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
