"""The units as they are shipped, under a real systemd: start, hang, crash, credentials, an update, the end.

Root, and a kernel that gives namespaces; the kernel's memory and device limits are tried on a Pi alone.
"""

import base64
import subprocess
import time

import pytest

from edgeagent.fleet.books import Gateway
from edgeagent.fleet.repository import Repository
from tests.systemd.lab import Lab, why_not

pytestmark = [pytest.mark.slow, pytest.mark.tool("systemd-analyze")]
STATE = "/var/lib/edgeagent"
CONFIG = """[gateway]
id = "GW-1"
state_dir = "/var/lib/edgeagent"
[[sources]]
id = "box"
driver = "host"
every_s = 1
[[uplinks]]
id = "out"
driver = "jsonl"
path = "/var/lib/edgeagent/out.jsonl"
"""


@pytest.fixture(scope="module")
def lab():
    reason = why_not()
    if reason:
        pytest.skip(reason)
    machine = Lab()
    try:
        made = machine.__enter__()
    except AssertionError as error:  # a machine on which no second systemd comes up says nothing about our units
        pytest.skip(f"no systemd as PID 1 here: {str(error)[:300]}")
    try:
        yield made
    finally:
        machine.__exit__(None, None, None)


@pytest.fixture
def service(lab):
    """A gateway with a config, started; stopped and forgotten afterwards."""
    lab.write("/etc/edgeagent/config.toml", CONFIG)
    lab.run("systemctl", "start", "edgeagent.service")
    yield lab
    lab.run("systemctl", "stop", "edgeagent.service", "edgeagent-update.timer", "edgeagent-renew.timer")
    lab.run("systemctl", "reset-failed", check=False)
    lab.run("sh", "-c", f"rm -rf {STATE}/* /etc/edgeagent/* /etc/systemd/system/*.d; systemctl daemon-reload")


def main_pid(lab):
    return int(lab.shows("edgeagent.service", "MainPID")["MainPID"])


def test_it_starts_measures_and_ends(service):
    """`systemctl start` comes back when READY was said; STOPPING ends it with everything on disk."""
    service.active()
    service.until(lambda: service.read(f"{STATE}/out.jsonl").count("\n") > 2, "readings arrive")
    said = dict(
        line.split(":\t") for line in service.read(f"/proc/{main_pid(service)}/status").splitlines() if ":\t" in line
    )
    assert said["Uid"].split()[0] != "0" and said["CapEff"].strip("0") == "" and said["NoNewPrivs"] == "1"
    assert said["Seccomp"] == "2", "system calls are filtered"
    assert service.read(f"/proc/{main_pid(service)}/uid_map").split() != ["0", "0", "4294967295"], "PrivateUsers"
    service.run("systemctl", "stop", "edgeagent.service")
    ended = service.shows("edgeagent.service", "ActiveState", "Result", "ExecMainStatus")
    assert ended == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}


def test_it_sees_nothing_but_its_own(service):
    service.active()
    inside = ("nsenter", "-t", main_pid(service), "-m")
    service.run("touch", "/root/seen", "/usr/x")  # the lab itself is open
    assert service.run(*inside, "ls", "/root", check=False) == ""
    assert service.run("ls", "/root/seen").strip() == "/root/seen"
    refused = service.run(*inside, "sh", "-c", "touch /usr/y /etc/y 2>&1 || true")
    assert refused.count("Read-only file system") == 2, refused
    assert service.run(*inside, "sh", "-c", f"touch {STATE}/x && ls {STATE}/x").strip() == f"{STATE}/x"


def test_a_hanging_agent_is_killed_and_started_again(service):
    """The watchdog, shortened from 60 s; how it ended is written down for a release on trial."""
    service.run("systemctl", "stop", "edgeagent.service")
    service.drop_in("edgeagent.service", "[Service]\nWatchdogSec=4\nRestartSec=0.2\n")
    service.run("mkdir", "-p", f"{STATE}/update")
    service.run("chown", "edgeagent:edgeagent", f"{STATE}/update")
    service.run("systemctl", "start", "edgeagent.service")
    service.active()
    before = main_pid(service)
    service.run("kill", "-STOP", str(before))
    service.until(lambda: main_pid(service) not in (0, before), "another process runs")
    service.active()
    assert int(service.shows("edgeagent.service", "NRestarts")["NRestarts"]) >= 1
    assert "watchdog" in service.journal()
    assert service.read(f"{STATE}/update/ended").strip() in ("watchdog", "")  # "" once the start has read it


def test_a_box_that_nobody_visits_never_stops_trying(service):
    """systemd gives up after 5 starts in 10 s where nobody says otherwise."""
    service.run("systemctl", "stop", "edgeagent.service")
    service.drop_in("edgeagent.service", "[Service]\nRestartSec=0.05\n")
    service.write("/etc/edgeagent/config.toml", "[gateway\n")
    service.run("systemctl", "start", "edgeagent.service", check=False)
    service.until(
        lambda: int(service.shows("edgeagent.service", "NRestarts")["NRestarts"]) > 7, "it tried 8 times", 180
    )
    assert service.shows("edgeagent.service", "ActiveState")["ActiveState"] == "activating"
    service.write("/etc/edgeagent/config.toml", CONFIG)
    service.active()


def test_a_secret_reaches_the_agent_and_nobody_else(service):
    service.run("systemctl", "stop", "edgeagent.service")
    service.write("/etc/edgeagent/credentials/city-token", "tanuki")
    service.run("chmod", "-R", "go=", "/etc/edgeagent/credentials")
    service.drop_in("edgeagent.service", "[Service]\nLoadCredential=city-token:/etc/edgeagent/credentials/city-token\n")
    wanted = '[[uplinks]]\nid = "city"\ndriver = "ngsi-ld"\nurl = "http://127.0.0.1:9/"\nauth = "bearer"\ntoken = "city-token"\n'
    service.write("/etc/edgeagent/config.toml", CONFIG + wanted)
    service.run("systemctl", "start", "edgeagent.service")
    service.active()
    inside = ("nsenter", "-t", main_pid(service), "-m")
    user = ("setpriv", "--reuid", "edgeagent", "--regid", "edgeagent", "--clear-groups")
    at = "/run/credentials/edgeagent.service/city-token"
    assert service.run(*inside, *user, "cat", at) == "tanuki"
    assert service.run(*inside, *user, "cat", "/etc/edgeagent/credentials/city-token", check=False) == ""
    nobody = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
    assert service.run(*nobody, "cat", at, check=False) == ""


def test_timers_know_their_next_moment(service):
    service.run("systemctl", "start", "edgeagent-update.timer", "edgeagent-renew.timer")
    for unit in ("edgeagent-update", "edgeagent-renew"):
        said = service.shows(f"{unit}.timer", "ActiveState", "NextElapseUSecMonotonic", "Unit")
        assert said["ActiveState"] == "active" and said["Unit"] == f"{unit}.service"
        assert said["NextElapseUSecMonotonic"] not in ("", "infinity")
        # nothing to ask for: no failure in the list that somebody has to look at
        service.run("systemctl", "start", f"{unit}.service")
        assert service.shows(f"{unit}.service", "ConditionResult", "Result") == {
            "ConditionResult": "no",
            "Result": "success",
        }


def test_an_update_is_fetched_by_its_unit_tried_and_taken_back(service, tmp_path):
    """The whole way: the oneshot stages, the agent ends, systemd starts the release; it hangs and is taken back."""
    repo = Repository(tmp_path / "repo", time.time, lambda _: "tanuki")
    repo.init()
    repo.add_city("nagano")
    name = repo.add_gateway("GW-1", Gateway(city="nagano"))
    repo.put("nagano/city.toml", b'[[sources]]\nid = "box"\nevery_s = 2\n')
    repo.publish(at_once=True)
    service.run("systemctl", "stop", "edgeagent.service")
    bring(service, repo.public, "/srv/repo")
    service.write("/etc/edgeagent/root.json", (repo.public / "metadata/1.root.json").read_text())
    section = f'[update]\nurl = "/srv/repo"\ncity = "nagano"\nname = "{name}"\nusb = false\nwindow_s = 600\n'
    service.write("/etc/edgeagent/config.toml", CONFIG.replace("every_s = 1\n", "") + section)
    service.drop_in("edgeagent.service", "[Service]\nWatchdogSec=5\nRestartSec=0.2\n")
    service.run("systemctl", "start", "edgeagent.service")
    service.active()
    before = main_pid(service)
    service.run("systemctl", "start", "edgeagent-update.service")
    assert service.shows("edgeagent-update.service", "Result")["Result"] == "success"
    service.until(lambda: '"state":"trial"' in service.read(f"{STATE}/update/record.json"), "the release is on trial")
    service.until(lambda: main_pid(service) not in (0, before), "the agent was started again")
    service.active()
    assert "every_s = 2" in service.read(f"{STATE}/update/running.toml")
    service.run("kill", "-STOP", str(main_pid(service)))
    service.until(lambda: "update.watchdog" in service.read(f"{STATE}/update/record.json"), "it is taken back")
    service.active()


def bring(lab, folder, to):
    """Copy a folder in."""
    tar = subprocess.run(["tar", "-c", "-C", folder, "."], capture_output=True, check=True).stdout
    lab.run("sh", "-c", f"mkdir -p {to} && base64 -d | tar -x -C {to}", text=base64.b64encode(tar).decode())
