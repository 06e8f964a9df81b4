"""Many gateways, one repository, over HTTP on loopback; the bench does the same with a thousand."""

from edgeagent.clock import SystemClock
from tests.bench.update import _poll, _repository, _served


def test_every_gateway_gets_its_own_and_costs_two_requests_when_nothing_is_new(tmp_path):
    repo, names = _repository(tmp_path, 12)
    server, url = _served(repo.public)
    root, clock = (repo.public / "metadata/1.root.json").read_bytes(), SystemClock()
    try:
        for n, (city, name) in enumerate(names):
            box = tmp_path / "boxes" / str(n)
            _poll(box, url, root, clock, city, name)
            own = f'[gateway]\nname = "{n}"\n'.encode()
            assert sum(p.read_bytes().startswith(own) for p in (box / "targets").iterdir()) == 1
            again = _poll(box, url, root, clock, city, name)
            assert (again.requests, again.fetched < 500) == (2, True)
        repo.put("city0/city.toml", b'[[sources]]\nid = "box"\nevery_s = 30\n')
        repo.publish(at_once=True)
        for n, (city, name) in enumerate(names):
            assert _poll(tmp_path / "boxes" / str(n), url, root, clock, city, name).requests == 5
    finally:
        server.shutdown()
        server.server_close()
