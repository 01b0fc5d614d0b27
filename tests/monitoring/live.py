# SPDX-License-Identifier: Apache-2.0
"""live.py MOUNT1 MOUNT2 DIRECTORY DOCS PID - a Prometheus that scrapes two mounts through node_exporter.

MOUNT1 has a limit, retention and a named reader; PID is its daemon. DIRECTORY is for the files of this program.
$SHIPPING: processes of chronq ship and chronq fetch, which write their metrics into DIRECTORY/textfile, and $SERVER: the
NATS server. Both may be empty.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from testlib import PATIENCE, case, is_

first, second, directory, docs, daemon = sys.argv[1:]
textfile = directory + "/textfile"
shipping = [int(pid) for pid in os.environ["SHIPPING"].split()]
children = []
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # of lib.sh: ends what has been started, below


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        return answer.read().decode()


def start(ready, *command):
    """Starts a server on a free port; its port, when it answers at the path `ready`."""
    for _ in range(5):
        port = free_port()  # somebody else may take it meanwhile
        with open(f"{directory}/{os.path.basename(command[0])}.log", "ab") as log:
            child = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        children.append(child)
        end = time.monotonic() + PATIENCE
        while child.poll() is None and time.monotonic() < end:
            try:
                get(f"http://127.0.0.1:{port}{ready}")
                return port
            except OSError:
                time.sleep(0.05)
        if child.poll() is None:
            break
    raise SystemExit(f"{command[0]} does not start: {open(log.name).read()[-2000:]}")


def copied():
    """Runs chronfs-textfile."""
    subprocess.run([docs + "/chronfs-textfile", textfile, first, second], check=True)


def ask(query):
    """The result of an instant query: [(labels, value)]."""
    url = f"http://127.0.0.1:{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    return [(one["metric"], float(one["value"][1])) for one in json.loads(get(url))["data"]["result"]]


def wait_for(condition):
    """Until it holds; copies the metrics meanwhile, as the timer does."""
    end = time.monotonic() + PATIENCE
    while not (good := condition()) and time.monotonic() < end:
        copied()
        time.sleep(0.3)
    return good


def rules():
    """{alert: (expression, state)} as the server has read them from the file."""
    groups = json.loads(get(f"http://127.0.0.1:{prometheus}/api/v1/rules"))["data"]["groups"]
    return {rule["name"]: (rule["query"], rule["state"]) for group in groups for rule in group["rules"]}


def raised(alert):
    """Whether it is pending or firing: some have to hold for minutes before they fire."""
    return rules()[alert][1] in ("pending", "firing")


def expressions_of_the_dashboard():
    with open(docs + "/dashboard.json", encoding="utf-8") as file:
        dashboard = json.load(file)
    case("the dashboard has a title, a data source to choose, and panels without overlap", well_formed(dashboard))
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    found = []
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            found.append((panel["title"], target["expr"]))
    for annotation in dashboard["annotations"]["list"]:
        found.append(("annotation " + annotation["name"], annotation["expr"]))
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard)))
    is_("it uses the variables that it has", used - {"__rate_interval", "__all"}, variables)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            values = {labels.get(label) for labels, _ in ask(series.replace('"$instance"', '".*"'))}
            case(f"the variable {variable['name']} has values", values and None not in values, values)
    return found


def well_formed(dashboard):
    taken = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        if taken & cells or at["x"] + at["w"] > 24 or not panel["targets"]:
            return False
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    types = {variable["type"] for variable in dashboard["templating"]["list"]}
    return bool(ids) and len(set(ids)) == len(ids) and "datasource" in types and dashboard["title"] == "chronfs"


def test_expressions():
    for panel, expression in expressions_of_the_dashboard():
        query = expression.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$mount", ".*")
        if "chronq_" in expression and not shipping:
            continue
        wanted = not panel.startswith("annotation")  # no alert fires yet
        case(f"{panel}: {expression[:60]}", wait_for(lambda: bool(ask(query)) == wanted), ask(query))
    file_has = re.findall(r"^ *- alert: (\w+)$", open(docs + "/chronfs.rules.yml").read(), re.M)
    is_("the server has all rules of the file", sorted(rules()), sorted(file_has))
    for alert, (expression, state) in rules().items():
        case(f"{alert} is quiet", state == "inactive" and ask(expression) == [], (state, ask(expression)))
        # Empty since nothing is wrong, not since a name is: each of its metrics has series.
        if "chronq_" in expression and not shipping:
            continue
        for selector in re.findall(r"(?:chronfs|chronq|node)_\w+(?:\{[^}]*\})?", expression):
            case(f"{alert}: there is {selector}", wait_for(lambda: ask(selector)))


def test_alerts():
    before = {alert for alert in rules() if raised(alert)}
    is_("no alert is raised", before, set())
    # The queue becomes full while the reader stands still.
    refused = False
    while not refused:
        try:
            with open(first + "/append", "wb", buffering=0) as sink:
                sink.write(b"x" * 4000)
        except OSError:
            refused = True
    for alert in ("ChronfsQueueFull", "ChronfsQueueNearlyFull", "ChronfsReaderFillsQueue"):
        case(f"{alert} is raised for a full queue whose reader stands still", wait_for(lambda: raised(alert)))
    expression = rules()["ChronfsReaderFillsQueue"][0]
    # The reader of ship keeps for some time what is acknowledged.
    is_("it names the reader and the mount",
        {(labels["reader"], labels["mount"]) for labels, _ in ask(expression)} - {("ship", first)}, {("still", first)})
    # A record of the second mount's queue is damaged, and read.
    try:
        with open(second + "/stream", "rb", buffering=0) as stream:
            stream.read()
        case("a damaged record is not read", False)
    except OSError:
        pass
    case("ChronfsDamage is raised for a damaged record that is read", wait_for(lambda: raised("ChronfsDamage")))
    # The daemon is killed.
    os.kill(int(daemon), signal.SIGKILL)
    case("ChronfsDown is raised for a killed daemon", wait_for(lambda: raised("ChronfsDown")))
    is_("for the mount whose daemon it was", [labels["mount"] for labels, _ in ask("chronfs_up == 0")], [first])
    case("its other figures are gone", wait_for(lambda: ask(f'chronfs_next_seq{{mount="{first}"}}') == []))
    if shipping:
        # The server goes, and then ship and fetch.
        os.kill(int(os.environ["SERVER"]), signal.SIGKILL)
        for alert in ("ChronqShipDisconnected", "ChronqFetchDisconnected"):
            case(f"{alert} is raised when no server answers", wait_for(lambda name=alert: raised(name)))
        for pid in shipping:
            os.kill(pid, signal.SIGKILL)
    # Nobody copies any more: the file's time is what counts.
    for name in os.listdir(textfile):
        os.utime(f"{textfile}/{name}", (time.time() - 400,) * 2)
    end = time.monotonic() + PATIENCE
    while not raised("ChronfsMetricsStale") and time.monotonic() < end:
        time.sleep(0.2)
    case("ChronfsMetricsStale is raised for an old file", raised("ChronfsMetricsStale"))
    if shipping:
        case("ChronqStatusStale is raised for old files", wait_for(lambda: raised("ChronqStatusStale")))


try:
    copied()
    exporter = start("/metrics", "prometheus-node-exporter", "--collector.disable-defaults",
                     "--collector.textfile", f"--collector.textfile.directory={textfile}")
    text = get(f"http://127.0.0.1:{exporter}/metrics")
    case("node_exporter takes the metrics of both mounts", all(
        f'chronfs_next_seq{{mount="{mount}"}} ' in text for mount in (first, second)))
    case("without an error", "node_textfile_scrape_error 0\n" in text)
    with open(directory + "/prometheus.yml", "w") as file:
        json.dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [docs + "/chronfs.rules.yml"],
            "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}],
        }, file)
    prometheus = start("/-/ready", "prometheus", f"--config.file={directory}/prometheus.yml",
                       f"--storage.tsdb.path={directory}/data")
    case("Prometheus has both mounts", wait_for(lambda: len(ask("chronfs_up == 1")) == 2))
    test_expressions()
    test_alerts()
finally:
    for child in children:
        child.kill()
        child.wait()
