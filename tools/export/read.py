"""What TensorBoard, MLflow or W&B make of an export: read.py tensorboard|mlflow|wandb FOLDER N

Starts the tool itself on FOLDER, asks it for its N runs, and prints them as JSON: by trial, its settings, status
and curves.
"""

import contextlib
import gzip
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BIN = pathlib.Path(sys.executable).parent
PATIENCE_S = 240


def ask(url, data=None):
    headers = {"content-type": "application/json"}
    body = None if data is None else json.dumps(data).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
        return json.load(answer)


def until(found, what):
    """What `found` returns once it is something."""
    last = time.monotonic() + PATIENCE_S
    while time.monotonic() < last:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if (answer := found()) is not None:
                return answer
        time.sleep(0.2)
    sys.exit(f"read.py: waited {PATIENCE_S} s for {what}")


def free_port():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return server.server_port


@contextlib.contextmanager
def program(name, *args, **environment):
    """A server, with all that it starts, for as long as it is needed."""
    command = [BIN / name, *args]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env=os.environ | environment
        )
        try:
            yield
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def tensorboard(folder, n):
    port = free_port()
    with program("tensorboard", "--logdir", folder, "--host", "127.0.0.1", "--port", str(port)):
        data = f"http://127.0.0.1:{port}/data"
        # Runs are listed before they are read: all are when every session has its settings.
        query = {
            "experimentName": "",
            "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
            "startIndex": 0,
            "sliceSize": n + 1,
        }

        def groups():
            found = ask(f"{data}/plugin/hparams/session_groups", query)["sessionGroups"]
            tags = ask(f"{data}/plugin/scalars/tags")
            return found if len(found) == len(tags) == n else None

        trials = {}
        for group in until(groups, f"{n} runs in TensorBoard"):
            (session,) = group["sessions"]
            run = session["name"]
            curves = {}
            for tag in ask(f"{data}/plugin/scalars/tags")[run]:
                query_ = urllib.parse.urlencode({"run": run, "tag": tag})
                points = ask(f"{data}/plugin/scalars/scalars?{query_}")
                curves[tag] = [[step, value] for _, step, value in points]
            settings = group["hparams"]
            trials[settings["trial_id"]] = {"settings": settings, "status": session["status"], "curves": curves}
        return trials


def mlflow_runs(tracking):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking)
    trials = {}
    for experiment in client.search_experiments(filter_string="name != 'Default'"):
        for run in client.search_runs([experiment.experiment_id], max_results=50000):
            curves = {}
            for metric in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, metric)
                curves[metric] = sorted([point.step, point.value] for point in history)
            trials[run.data.params["trial_id"]] = {
                "experiment": experiment.name,
                "settings": run.data.params,
                "status": run.info.status,
                "curves": curves,
                "tags": run.data.tags,
            }
    return trials


def mlflow(folder, n):
    port = free_port()
    files = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    ui = ("ui", "--backend-store-uri", folder, "--port", str(port), "--workers", "1")
    with program("mlflow", *ui, **files):
        until(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5), "mlflow ui")
        shown = mlflow_runs(f"http://127.0.0.1:{port}")
    # The way into the databases that newer versions of MLflow want.
    with tempfile.TemporaryDirectory() as temporary:
        database = f"sqlite:///{temporary}/mlflow.db"
        migrate = [BIN / "mlflow", "migrate-filestore", "--source", folder, "--target", database, "--no-progress"]
        subprocess.run(migrate, check=True, stdout=sys.stderr, env=os.environ | files)
        migrated = mlflow_runs(database)
    same = ("settings", "status", "curves")
    for trial, run in shown.items():
        for key in same:
            if json.dumps(run[key], sort_keys=True) != json.dumps(migrated[trial][key], sort_keys=True):
                sys.exit(f"read.py: migrate-filestore changed {key} of {trial}")
    return shown


class StandIn(BaseHTTPRequestHandler):
    """As much of W&B's server as `wandb sync` needs to be done; keeps what it is sent."""

    runs = {}
    lock = threading.Lock()

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        sent, answer = json.loads(body), {}
        with self.lock:
            if self.path == "/graphql":
                answer = {"data": self.graphql(sent.get("variables") or {})}
            elif stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
                self.stream(self.runs.setdefault(stream[1], {}), sent)
        answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def graphql(self, variables):
        name = variables.get("name")
        if variables.get("config"):
            said = {key: value for key, value in variables.items() if value is not None}
            self.runs.setdefault(name, {}).setdefault("run", {}).update(said)
        project = {"id": "p", "name": variables.get("project"), "entity": {"id": "e", "name": "e"}}
        bucket = {"id": "r", "name": name, "displayName": name, "description": "", "config": "{}", "project": project}
        return {
            "viewer": {"id": "u", "username": "u", "entity": "e", "flags": "{}", "teams": {"edges": []}},
            "serverInfo": {"cliVersionInfo": {}, "latestLocalVersionInfo": None, "features": []},
            "upsertBucket": {"bucket": bucket | {"sweepName": None, "historyLineCount": 0}, "inserted": True},
            "model": {"bucket": None, "id": "p", "name": "p"},
            "project": {"run": None},
            "createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []},
        }

    @staticmethod
    def stream(run, sent):
        for name, file in (sent.get("files") or {}).items():
            run.setdefault(name, []).extend(file["content"])
        if sent.get("complete"):
            run["exit"] = sent.get("exitcode")


def wandb(folder, n):
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}",
            "WANDB_API_KEY": "0" * 40,
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DIR": home,
            "HOME": home,
        }
        sync = [BIN / "wandb", "sync", folder]
        done = subprocess.run(sync, env=os.environ | environment, capture_output=True, timeout=PATIENCE_S)
    server.shutdown()
    if done.returncode != 0 or len(StandIn.runs) != n:
        sys.exit(f"read.py: wandb sync of {len(StandIn.runs)} runs: {done.stderr.decode()}")
    return {trial: uploaded(run) for trial, run in StandIn.runs.items()}


def uploaded(run):
    curves = {}
    for line in run["wandb-history.jsonl"]:
        step = json.loads(line)
        for metric, value in step.items():
            if not metric.startswith("_"):
                curves.setdefault(metric, []).append([step["_step"], value])
    config = json.loads(run["run"]["config"])
    return {
        "project": run["run"]["project"],
        "settings": {key: item["value"] for key, item in config.items() if key != "_wandb"},
        "tags": run["run"]["tags"],
        "curves": curves,
        "summary": json.loads(run["wandb-summary.json"][-1]),
        "status": run.get("exit"),
    }


if __name__ == "__main__":
    tool, folder, n = sys.argv[1:]
    print(json.dumps({"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}[tool](folder, int(n))))
