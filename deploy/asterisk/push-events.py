#!/usr/bin/env python3
"""Pushes the events of the Asterisk on this machine to an onhook that cannot reach it.

It logs in to the manager interface of Asterisk, keeps what it hears in a small database (so that neither a cut nor a
restart loses anything that was heard), and posts it in order to /webhooks/ami until the gateway says that it is durable.
Python 3.8 or newer, nothing else.

    push-events.py --url https://calls.example.com/webhooks/ami?pbx=site-b --key-file key.txt \\
                   --ami-user onhook --ami-secret-file secret.txt

Settings in the environment: ONHOOK_PUSH_URL, ONHOOK_PUSH_KEY_FILE, AMI_HOST, AMI_PORT, AMI_USER, AMI_SECRET_FILE, ONHOOK_PUSH_SPOOL.
manager.conf: the user needs `read = system,call,agent,user`, no write= at all, and timestampevents = yes in [general].
"""

import argparse
import json
import os
import random
import signal
import socket
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

# Events that say nothing of calls and are many. A VarSet is kept if it sets a variable of onhook's.
NOISE = ("VarSet", "Newexten", "RTCPSent", "RTCPReceived", "CEL", "DTMFBegin", "DTMFEnd", "ChallengeSent", "SuccessfulAuth")
LINE_BYTES_MAX = 64 * 1024
HEADERS_MAX = 256
VALUE_BYTES_MAX = 16 * 1024
BATCH_EVENTS_MAX = 500
BATCH_BYTES_MAX = 512 * 1024
PING_EVERY_S = 10
SILENT_S = 25
RETRY_LONGEST_S = 30
REFUSED_WAIT_S = 60


def log(text):
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) + text, file=sys.stderr, flush=True)


class Spool:
    """What was heard and is not durable at the gateway yet, oldest first. When it is full, the oldest is dropped."""

    def __init__(self, path, bytes_max):
        self.bytes_max = bytes_max
        self.lock = threading.Condition()
        self.dropped = 0
        os.umask(0o077)  # it holds the numbers of all calls
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.execute("CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)")
        self.bytes = self.db.execute("SELECT coalesce(sum(length(body)), 0) FROM event").fetchone()[0]

    def put(self, bodies):
        with self.lock:
            self.db.execute("BEGIN")
            self.db.executemany("INSERT INTO event (body) VALUES (?)", [(body,) for body in bodies])
            self.bytes += sum(map(len, bodies))
            dropped = 0
            while self.bytes > self.bytes_max:
                row = self.db.execute("SELECT id, length(body) FROM event ORDER BY id LIMIT 1").fetchone()
                if row is None:
                    break
                self.db.execute("DELETE FROM event WHERE id = ?", (row[0],))
                self.bytes -= row[1]
                dropped += 1
            self.db.execute("COMMIT")
            if dropped and not self.dropped:
                log("the spool is full: the oldest events are dropped; their calls end by onhook's own limits")
            self.dropped += dropped
            self.lock.notify()

    def first(self, wait_s):
        """The oldest events that fit into a push, as (id, body)."""
        with self.lock:
            rows = self._rows()
            if not rows:
                self.lock.wait(wait_s)
                rows = self._rows()
        taken, size = [], 2
        for row in rows:
            size += len(row[1].encode()) + 1
            if taken and size > BATCH_BYTES_MAX:
                break
            taken.append(row)
        return taken

    def _rows(self):
        return self.db.execute("SELECT id, body FROM event ORDER BY id LIMIT ?", (BATCH_EVENTS_MAX,)).fetchall()

    def done(self, rows):
        with self.lock:
            for row_id, _ in rows:
                # It may have been dropped meanwhile.
                row = self.db.execute("SELECT length(body) FROM event WHERE id = ?", (row_id,)).fetchone()
                if row is not None:
                    self.db.execute("DELETE FROM event WHERE id = ?", (row_id,))
                    self.bytes -= row[0]


class Asterisk:
    """Logs in, and reads messages for as long as the connection lives."""

    def __init__(self, host, port, user, secret):
        self.address, self.user, self.secret = (host, port), user, secret

    def connect(self):
        connection = socket.create_connection(self.address, timeout=10)
        connection.settimeout(1)
        return connection

    def messages(self, connection, stop):
        """Yields each message as a list of (name, value); None when nothing came for a second."""
        buffer, message = b"", []
        heard = pinged = time.monotonic()
        while not stop.is_set():
            now = time.monotonic()
            if now - heard > SILENT_S:
                raise OSError("nothing was heard for %d s" % SILENT_S)
            if now - pinged > PING_EVERY_S:
                connection.sendall(b"Action: Ping\r\nActionID: ping\r\n\r\n")
                pinged = now
            try:
                data = connection.recv(65536)
            except socket.timeout:
                yield None
                continue
            if not data:
                raise OSError("Asterisk closed the connection")
            heard = time.monotonic()
            buffer += data
            *lines, buffer = buffer.split(b"\n")
            if len(buffer) > LINE_BYTES_MAX:
                raise OSError("a line is longer than %d bytes" % LINE_BYTES_MAX)
            for line in lines:
                line = line.rstrip(b"\r").decode("utf-8", "replace")
                if line:
                    name, colon, value = line.partition(":")
                    # The banner is a line without a colon, and no message follows it at once.
                    if colon:
                        message.append((name, value[1:] if value.startswith(" ") else value))
                elif message:
                    yield message
                    message = []

    def login(self, connection, messages):
        for text in (self.user, self.secret):
            if "\r" in text or "\n" in text:
                raise ValueError("user or secret hold a line break")
        login = "Action: Login\r\nActionID: login\r\nUsername: %s\r\nSecret: %s\r\n\r\n" % (self.user, self.secret)
        connection.sendall(login.encode())
        deadline = time.monotonic() + 15
        for message in messages:
            if time.monotonic() > deadline:
                break
            headers = {name.lower(): value for name, value in message or []}
            if headers.get("actionid") == "login":
                if headers.get("response") != "Success":
                    raise PermissionError("Asterisk refuses the login: %s" % headers.get("message"))
                return
        raise OSError("Asterisk did not answer the login")


def body_of(message):
    """The JSON of an event that says something of calls; None for everything else."""
    names = {name.lower(): value for name, value in reversed(message)}
    event = names.get("event")
    if not event or "actionid" in names and event != "OriginateResponse":
        return None
    if event in NOISE and not (event == "VarSet" and names.get("variable", "").startswith("ONHOOK_")):
        return None
    headers = {}
    for name, value in message[:HEADERS_MAX]:
        value = value.replace("\r", " ").replace("\0", " ")
        while len(value.encode()) > VALUE_BYTES_MAX:
            value = value[: len(value) // 2]
        if name in headers:
            before = headers[name]
            headers[name] = (before if isinstance(before, list) else [before]) + [value]
        else:
            headers[name] = value
    if "timestamp" not in names:
        headers["Timestamp"] = "%.6f" % time.time()
    return json.dumps(headers, separators=(",", ":"))


def listen(asterisk, spool, stop):
    """Hears for ever; a connection that breaks is made again."""
    pause = 0.5
    while not stop.is_set():
        try:
            with asterisk.connect() as connection:
                messages = asterisk.messages(connection, stop)
                asterisk.login(connection, messages)
                log("listening to Asterisk at %s:%d" % asterisk.address)
                pause, waiting, since = 0.5, [], time.monotonic()
                try:
                    for message in messages:
                        body = body_of(message) if message else None
                        if body:
                            waiting.append(body)
                        if waiting and (message is None or len(waiting) >= 100 or time.monotonic() - since > 0.2):
                            spool.put(waiting)
                            waiting = []
                        if not waiting:
                            since = time.monotonic()
                finally:
                    if waiting:
                        spool.put(waiting)
        except PermissionError as error:
            log("%s; see user, secret and permit= in manager.conf" % error)
            pause = REFUSED_WAIT_S
        except (OSError, ValueError) as error:
            log("the connection to Asterisk is gone: %s" % error)
        stop.wait(pause * random.uniform(0.5, 1))
        pause = min(pause * 2, RETRY_LONGEST_S)


class Gateway:
    """Posts events until they are durable."""

    def __init__(self, url, key):
        self.url, self.key = url, key

    def post(self, bodies):
        """(status, seconds to wait, what it said); the status is 0 if the gateway was not reached."""
        data = ("[" + ",".join(bodies) + "]").encode()
        headers = {"Authorization": "Bearer " + self.key, "Content-Type": "application/json"}
        request = urllib.request.Request(self.url, data=data, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, 0, ""
        except urllib.error.HTTPError as error:
            after = error.headers.get("Retry-After", "")
            wait = min(int(after), 300) if after.isdigit() else 0
            return error.code, wait, error.read(2000).decode("utf-8", "replace")
        except (OSError, ValueError) as error:
            return 0, 0, str(error)


def push(gateway, spool, stop):
    """Pushes for ever, in order."""
    pause, complained = 0.5, 0
    while not stop.is_set():
        rows = spool.first(1)
        if not rows:
            continue
        status, wait, said = push_some(gateway, spool, rows)
        if 200 <= status < 300:
            if complained:
                log("the gateway takes what is pushed again")
            pause, complained = 0.5, 0
            continue
        if status != complained:
            log("the gateway does not take what is pushed (%s); it is kept and tried again: %s" % (status or "away", said))
            complained = status or -1
        refused = status in (401, 403, 404)
        stop.wait(max(wait, REFUSED_WAIT_S if refused else pause * random.uniform(0.5, 1)))
        pause = min(pause * 2, RETRY_LONGEST_S)


def push_some(gateway, spool, rows):
    """One push. A batch with something in it that cannot be taken is halved until only that is left, and that is dropped."""
    status, wait, said = gateway.post([body for _, body in rows])
    if 200 <= status < 300:
        spool.done(rows)
    elif status in (400, 413, 422):
        if len(rows) == 1:
            log("dropped an event that the gateway cannot read: %s" % said)
            spool.done(rows)
            return 200, 0, ""
        half = len(rows) // 2
        first = push_some(gateway, spool, rows[:half])
        return push_some(gateway, spool, rows[half:]) if 200 <= first[0] < 300 else first
    return status, wait, said


def read_secret(path, what):
    if not path:
        sys.exit("error: %s is missing" % what)
    with open(path, encoding="utf-8") as file:
        secret = file.readline().strip()
    if not secret:
        sys.exit("error: %s is empty" % path)
    return secret


def arguments():
    env = os.environ.get
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog="README: docs/asterisk.md of onhook")
    parser.add_argument("--url", default=env("ONHOOK_PUSH_URL"), help="https://…/webhooks/ami?pbx=NAME")
    parser.add_argument("--key-file", default=env("ONHOOK_PUSH_KEY_FILE"), help="holds a key with the scope ingest")
    parser.add_argument("--ami-host", default=env("AMI_HOST", "127.0.0.1"))
    parser.add_argument("--ami-port", type=int, default=int(env("AMI_PORT", "5038")))
    parser.add_argument("--ami-user", default=env("AMI_USER", "onhook"))
    parser.add_argument("--ami-secret-file", default=env("AMI_SECRET_FILE"))
    parser.add_argument("--spool", default=env("ONHOOK_PUSH_SPOOL", "onhook-push.db"), help="the file that keeps what waits")
    parser.add_argument("--spool-mib", type=int, default=64, help="how much may wait, in MiB")
    return parser.parse_args()


def main():
    given = arguments()
    url = urllib.parse.urlsplit(given.url or "")
    if url.scheme not in ("http", "https") or not url.netloc:
        sys.exit("error: --url is missing, such as https://calls.example.com/webhooks/ami?pbx=site-b")
    if url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        log("warning: --url is not https: the key and the numbers of all calls can be read on the way")
    key = read_secret(given.key_file, "--key-file")
    secret = read_secret(given.ami_secret_file, "--ami-secret-file")
    spool = Spool(given.spool, given.spool_mib * 1024 * 1024)
    asterisk = Asterisk(given.ami_host, given.ami_port, given.ami_user, secret)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threads = [
        threading.Thread(target=listen, args=(asterisk, spool, stop), daemon=True),
        threading.Thread(target=push, args=(Gateway(given.url, key), spool, stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(0.5):
        if not all(thread.is_alive() for thread in threads):
            # A supervisor starts it anew; what waits is in the spool.
            sys.exit("error: a part of it ended by itself")
    for thread in threads:
        thread.join(5)


if __name__ == "__main__":
    main()
