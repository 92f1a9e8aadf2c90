"""What is measured: how each is started, and the rows that it must have written for the requests it answered."""

import base64
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import callbacks

HERE = Path(__file__).parent
API_KEY = "bench-key-0123456789abcdef0123456789abcdef"
READY_WITHIN_SECONDS = 30


class Cluster:
    """The PostgreSQL that scripts/postgres started for us."""

    def __init__(self):
        self.url = os.environ["ONHOOK_TEST_POSTGRES_URL"]
        folder = Path(os.environ["ONHOOK_TEST_POSTGRES_DIR"])
        self.pid = int((folder / "data/postmaster.pid").read_text().split("\n", 1)[0])

    def url_of(self, database):
        return self.url.replace("/postgres?", f"/{database}?")

    def ask(self, sql, database="postgres"):
        command = ["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", self.url_of(database), "-c", sql]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def create(self, database):
        self.ask(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        self.ask(f"CREATE DATABASE {database}")


class Target:
    """A server on a port of its own, with a fresh database. Subclasses say how."""

    name = None
    database = None  # the Cluster it works on, if any
    writes = True  # False: there is no database, and nothing to compare

    def __init__(self, folder):
        self.folder = Path(folder)
        self.process = None
        self.port = None

    def start(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = self.folder / f"{self.name}.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), env=os.environ | self.environment(), stdout=log, stderr=log)
        self.wait_until_ready()

    def wait_until_ready(self):
        give_up = time.monotonic() + READY_WITHIN_SECONDS
        while time.monotonic() < give_up and self.process.poll() is None:
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise SystemExit(f"bench: {self.name} did not become ready:\n{self.log_tail()}")

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")

    def log_tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Peer(Target):
    """Express, the official twilio middleware and pg: one transaction for each webhook."""

    name = "peer"

    def __init__(self, folder, cluster):
        super().__init__(folder)
        self.database = cluster

    def command(self):
        return ["node", str(HERE / "peer/server.js")]

    def environment(self):
        return {
            "NODE_ENV": "production",
            "PORT": str(self.port),
            "DATABASE_URL": self.database.url_of("bench_peer"),
            "TWILIO_AUTH_TOKEN": callbacks.AUTH_TOKEN,
            "PUBLIC_HOST": callbacks.PUBLIC_HOST,
        }

    def prepare(self):
        self.database.create("bench_peer")
        self.database.ask((HERE / "peer/schema.sql").read_text(), "bench_peer")
        self.database.ask(
            "INSERT INTO lead (id, name, phone) SELECT 'lead-' || lpad(n::text, 5, '0'), 'Lead ' || n, "
            f"'+1206555' || lpad(n::text, 5, '0') FROM generate_series(0, {callbacks.LEADS - 1}) n",
            "bench_peer",
        )

    def seed(self):
        """The leads are there: `prepare` wrote them."""

    def rows(self):
        tables = ("event", "call", "transition", "activity", "outbox")
        counted = {table: int(self.database.ask(f"SELECT count(*) FROM {table}", "bench_peer")) for table in tables}
        contacts = int(self.database.ask("SELECT sum(contact_count) FROM lead", "bench_peer"))
        return {
            "events": counted["event"],
            "calls": counted["call"],
            "contacts": contacts,
            "activities": counted["activity"],
            "effects": counted["outbox"],
            "inserted": sum(counted.values()),
        }


class Onhook(Target):
    """onhook itself, on either database."""

    tables = ("delivery", "signal", "call", "journal", "contact", "activity", "outbox")

    def __init__(self, folder, binary, cluster=None):
        super().__init__(folder)
        self.binary = binary
        self.database = cluster
        self.name = "onhook-postgres" if cluster else "onhook-sqlite"
        self.file = self.folder / "onhook.db"

    def command(self):
        return [self.binary, "serve"]

    def environment(self):
        return {
            "ONHOOK_DATABASE_URL": self.database.url_of("bench_onhook") if self.database else f"sqlite://{self.file}",
            "ONHOOK_LISTEN": f"127.0.0.1:{self.port}",
            "ONHOOK_PUBLIC_URL": f"https://{callbacks.PUBLIC_HOST}",
            "ONHOOK_API_KEY": API_KEY,
            "ONHOOK_SECRET_KEY": base64.b64encode(bytes(range(32))).decode(),
            "ONHOOK_LOG": "warn",
            "TWILIO_ACCOUNT_SID": callbacks.ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": callbacks.AUTH_TOKEN,
        }

    def prepare(self):
        if self.database:
            self.database.create("bench_onhook")
        else:
            for path in self.folder.glob("onhook.db*"):
                path.unlink()

    def seed(self):
        leads = ({"id": callbacks.lead_id(n), "name": f"Lead {n}", "phone": None} for n in range(callbacks.LEADS))
        lines = "".join(json.dumps(lead) + "\n" for lead in leads)
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/x-ndjson"}
        status, answer = self.call("POST", "/v1/leads/import", lines, headers)
        if status not in (200, 201):
            raise SystemExit(f"bench: {self.name} did not take the leads: {status} {answer[:500]}")

    def count(self, what):
        if self.database:
            return int(self.database.ask(f"SELECT count(*) FROM onhook.{what}", "bench_onhook"))
        connection = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)
        try:
            return connection.execute(f"SELECT count(*) FROM {what}").fetchone()[0]
        finally:
            connection.close()

    def rows(self):
        counted = {table: self.count(table) for table in self.tables}
        return {
            "events": counted["delivery"],
            "calls": counted["call"],
            "contacts": counted["contact"],
            "activities": counted["activity"],
            # onhook owes two effects for such a call (call.ended, lead.contacted), the peer one.
            "effects": counted["outbox"] / 2,
            "inserted": sum(counted.values()),
        }


class Ceiling(Target):
    """A server that checks the signature and reads the form, and writes nothing: what HTTP and the signature leave."""

    name = "ceiling"
    writes = False

    def __init__(self, folder, command):
        super().__init__(folder)
        self.shell = command

    def command(self):
        return ["sh", "-c", f"exec {self.shell}"]

    def environment(self):
        return {
            "BENCH_LISTEN": f"127.0.0.1:{self.port}",
            "ONHOOK_PUBLIC_URL": f"https://{callbacks.PUBLIC_HOST}",
            "TWILIO_ACCOUNT_SID": callbacks.ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": callbacks.AUTH_TOKEN,
        }

    def prepare(self):
        """Nothing is kept, so there is nothing to prepare."""

    def seed(self):
        """Nothing is kept, so there is nothing to seed."""

    def rows(self):
        return {}
