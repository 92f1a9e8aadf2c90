#!/usr/bin/env python3
"""An external worker of onhook: dials the jobs of a run with your own code, and never calls anybody twice.

    export GATEWAY_URL=https://calls.example.com ONHOOK_API_KEY=ohk_…   (scope write)
    export TWILIO_ACCOUNT_SID=AC… TWILIO_AUTH_TOKEN=…
    python3 worker.py run_01K… --worker dialer-1

The run must be made with "worker": "external" and be started. Replace `dial` by whatever places a call for you; the rest
is the loop that docs/runs.md describes. Start as many of these as you like, each with a name of its own: one has the
lease, the others wait. Kill it when you like, and start it again under the same name: it goes on at once.

Needs Python 3.8 and nothing else.
"""

import argparse
import base64
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

HEARTBEAT_EVERY = 2.0  # seconds; onhook wants one every 1 to 3
ENDED = ("completed", "cancelled", "failed")


# --- What to replace: how a call is placed ---------------------------------------------------------------------------


class Refused(Exception):
    """There is no call, and there will be none for this job: a wrong number, a country that is not allowed."""


class NotNow(Exception):
    """There is no call, for sure, and asking again is safe: 429, or nobody was reached."""


class Lost(Exception):
    """Whether there is a call is not known: the answer did not come. Asking again could call somebody twice."""


def undialable(run):
    """Why `dial` cannot call anybody of this run: None if it can. Replace it together with `dial`."""
    if not run.get("from"):
        return "the run has no `from`: make it with the number that called parties see"
    if not run.get("url") and not run.get("twiml"):
        return "the run has neither `url` nor `twiml`: Twilio would not know what to do with an answered call"
    return None


def dial(run, job, timeout):
    """Places one call and answers the provider's id of it; raises Refused, NotNow or Lost.

    `job["id"]` and `job["attempt"]` must come back with what the provider reports: here they are in the callback URL, which
    Twilio signs. That is how a call is found whose answer was lost. Must not take longer than `timeout` seconds.
    """
    account = os.environ["TWILIO_ACCOUNT_SID"]
    user = os.environ.get("TWILIO_API_KEY", account)
    secret = os.environ["TWILIO_API_SECRET" if "TWILIO_API_KEY" in os.environ else "TWILIO_AUTH_TOKEN"]
    marks = {"job_id": job["id"], "attempt": job["attempt"], "lead_id": job.get("lead_id"), "user_id": job.get("user_id")}
    query = urllib.parse.urlencode({name: mark for name, mark in marks.items() if mark is not None})
    public = os.environ.get("ONHOOK_PUBLIC_URL", os.environ["GATEWAY_URL"]).rstrip("/")
    form = [("To", job["to"]), ("From", run["from"])]
    # #rc=5&rp=all: Twilio tries again if onhook cannot be reached, and never sends the fragment.
    form.append(("StatusCallback", f"{public}/webhooks/twilio/status?{query}#rc=5&rp=all"))
    # Repeated, one each: a list with spaces is not understood here.
    form += [("StatusCallbackEvent", event) for event in ("initiated", "ringing", "answered", "completed")]
    settings = {
        "Url": run.get("url"),
        "Twiml": run.get("twiml"),
        "Timeout": run.get("timeout_seconds"),
        "TimeLimit": run.get("time_limit_seconds"),
        "MachineDetection": run.get("machine_detection"),
    }
    form += [(name, value) for name, value in settings.items() if value is not None]
    base = os.environ.get("TWILIO_API_BASE", "https://api.twilio.com").rstrip("/")
    request = urllib.request.Request(
        f"{base}/2010-04-01/Accounts/{account}/Calls.json",
        data=urllib.parse.urlencode(form).encode(),
        headers={"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.load(response)["sid"]
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 429):
            # The account, not this call. Nothing was done.
            raise NotNow(f"Twilio answered {error.code}") from error
        # 408: the request may have been taken, and its answer was late.
        if 400 <= error.code < 500 and error.code != 408:
            raise Refused(reason_of(error)) from error
        # A 5xx may come after the call was made, and there is no idempotency key.
        raise Lost(f"Twilio answered {error.code}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, (ConnectionRefusedError, socket.gaierror)):
            raise NotNow(f"Twilio cannot be reached: {error.reason}") from error
        raise Lost(f"no answer: {error.reason}") from error
    except (OSError, ValueError, KeyError) as error:
        raise Lost(f"no answer that can be read: {error}") from error


def reason_of(error):
    try:
        told = json.load(error)
        return f"{told['code']}: {told['message']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"answered {error.code}"


# --- The loop, which stays as it is ----------------------------------------------------------------------------------


class Problem(Exception):
    """onhook refused; `kind` is the last part of the problem's type, such as `lease-lost`."""

    def __init__(self, status, body):
        self.status = status
        self.kind = str(body.get("type", "")).rsplit("/", 1)[-1].rsplit("#", 1)[-1]
        super().__init__(f"{status} {self.kind}: {body.get('detail') or body.get('title') or ''}")


class Onhook:
    def __init__(self, base, key):
        self.base, self.key = base.rstrip("/"), key

    def ask(self, method, path, body=None, timeout=5.0):
        """Raises Problem if onhook refuses, OSError if it cannot be reached or is in trouble (5xx)."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            text = error.read()
            if error.code >= 500:
                raise OSError(f"onhook answered {error.code}") from error
            try:
                body = json.loads(text)
            except ValueError:
                body = {"detail": text[:200].decode("utf-8", "replace")}
            raise Problem(error.code, body) from error


def now():
    """A clock that nobody sets, and that goes on while the machine sleeps, where there is one (Linux)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """What is known of the lease. Its time is that of `now`, read before the request that extended it: a wall clock may be
    wrong, and a process that was frozen must not believe that no time has passed."""

    def __init__(self):
        self.mutex = threading.Lock()
        self.token, self.seconds, self.until, self.cancelled, self.paused = None, 0.0, 0.0, False, False

    def taken(self, token, asked_at, answer):
        """A claim was answered."""
        with self.mutex:
            if token != self.token:
                self.token, self.until = token, 0.0
        self.kept(token, asked_at, answer)

    def kept(self, token, asked_at, answer):
        """A heartbeat was answered. `lease_ms` is how long the lease lasts from that answer on."""
        with self.mutex:
            if token != self.token:
                return
            self.seconds = answer["lease_ms"] / 1000
            self.until = max(self.until, asked_at + self.seconds)
            self.cancelled = answer.get("cancel_requested", answer["state"] == "cancelling")
            self.paused = answer.get("paused", answer["state"] == "paused")

    def lost(self, token):
        with self.mutex:
            if token == self.token:
                self.token = None

    def left(self, token):
        """How many seconds are left for sure; 0 if it is another's, or somebody wants the end of the run."""
        with self.mutex:
            if token is None or token != self.token or self.cancelled:
                return 0.0
            return self.until - now()


class Worker:
    def __init__(self, onhook, run_id, name, batch, log):
        self.onhook, self.path, self.name, self.batch, self.log = onhook, f"/v1/runs/{run_id}", name, batch, log
        self.lease = Lease()
        self.stop = threading.Event()

    def work(self):
        """Until the run has ended, or somebody stops this worker."""
        threading.Thread(target=self.beat, daemon=True).start()
        while not self.stop.is_set():
            try:
                run = self.onhook.ask("GET", self.path)
                if run["state"] in ENDED:
                    self.log(f"the run is {run['state']}: {run['jobs']}")
                    return
                pause = self.turn(run)
            except Problem as problem:
                # Somebody else has the lease, or the run is pending, paused or being cancelled: that passes.
                if problem.status != 409:
                    raise
                if problem.kind == "lease-lost":
                    self.lease.lost(self.lease.token)
                self.log(str(problem))
                pause = HEARTBEAT_EVERY
            except OSError as error:
                # Nothing is dialed without a word from onhook; the jobs that were handed out come again.
                self.log(f"onhook cannot be reached: {error}")
                pause = 1.0
            self.stop.wait(pause)

    def turn(self, run):
        """Claims jobs and dials them. Answers how long to wait then."""
        asked_at = now()
        claim = {"worker": self.name, "max": self.batch}
        if self.lease.token is not None:
            # Goes on under the same lease. Without a token a new lease begins, and jobs of the old one are handed out anew.
            claim["token"] = self.lease.token
        claimed = self.onhook.ask("POST", f"{self.path}/claim", claim)
        self.lease.taken(claimed["token"], asked_at, claimed)
        for job in claimed["jobs"]:
            if self.stop.is_set() or not self.place(run, job, claimed["token"]):
                break
        # onhook hands out what the pace allows now, and says when the next job may be had.
        return 1.0 if claimed["wait_ms"] is None else min(1.0, claimed["wait_ms"] / 1000)

    def place(self, run, job, token):
        """One job. False: this lease is over, or nothing more is to be placed."""
        if self.lease.paused or not self.may_dial(token):
            # It was only handed out, and is handed out again.
            return False
        # From here on onhook knows that there may be a call. If this is not taken, there must be none.
        try:
            answer = self.report(job, {"token": token, "state": "placing"})
        except Problem as problem:
            if problem.kind == "lease-lost":
                self.lease.lost(token)
                return False
            # The job was cancelled meanwhile, or is another's.
            self.log(f"{job['id']}: {problem}")
            return True
        # The answer to `placing` says which attempt this is; the provider must say it again.
        job = {**job, "attempt": answer["attempt"]}
        pause = 1.0
        while True:
            # The check that must come last before the call: another worker may have the run as soon as the lease is over.
            if not self.may_dial(token):
                # No call was asked for, so this is safe to say. If the lease is lost, onhook answers so and looks for the call.
                error = "not dialed: the run was cancelled, or the lease was over"
                self.tell(job, {"token": token, "state": "failed", "error": error})
                return False
            try:
                provider_id = dial(run, job, self.timeout())
            except Refused as refused:
                self.tell(job, {"token": token, "state": "failed", "error": str(refused)[:200]})
            except NotNow as not_now:
                # Safe to ask again, with longer and longer pauses; heartbeats go on and keep the lease.
                self.log(f"{job['id']}: {not_now}; trying again in {pause:.0f} s")
                if pause > 60:
                    self.tell(job, {"token": token, "state": "failed", "error": str(not_now)})
                elif not self.stop.wait(pause):
                    pause *= 2
                    continue
                else:
                    self.tell(job, {"token": token, "state": "failed", "error": "the worker was stopped"})
            except Lost as lost:
                # Nothing is reported, and it is not dialed again: onhook waits for a callback of this job, then looks for the
                # call at the provider. What cannot be found out becomes `unknown`.
                self.log(f"{job['id']}: {lost}; left to onhook")
            else:
                self.tell(job, {"token": token, "state": "placed", "provider_id": provider_id})
            return True

    def timeout(self):
        """How long a request to the provider may take."""
        return min(10.0, self.lease.seconds / 3)

    def may_dial(self, token):
        # What is left besides is for a process that is slow to be scheduled.
        return self.lease.left(token) >= self.timeout() + min(5.0, self.lease.seconds / 4)

    def report(self, job, body):
        return self.onhook.ask("POST", f"{self.path}/jobs/{job['id']}", body)

    def tell(self, job, body):
        """Tries for a while to report what came of a call. If that fails, the provider's callbacks tell it."""
        for pause in (0.2, 0.5, 1.0, 2.0, None):
            try:
                self.report(job, body)
                return
            except Problem as problem:
                self.log(f"{job['id']}: {body['state']}: {problem}")
                return
            except OSError as error:
                self.log(f"{job['id']}: {body['state']}: {error}")
                if pause is not None:
                    time.sleep(pause)

    def beat(self):
        """Beside the loop: a slow provider must not cost the lease."""
        while not self.stop.wait(HEARTBEAT_EVERY):
            token, asked_at = self.lease.token, now()
            if token is None:
                continue
            try:
                answer = self.onhook.ask("POST", f"{self.path}/heartbeat", {"token": token}, timeout=HEARTBEAT_EVERY)
            except Problem as problem:
                self.log(f"heartbeat: {problem}")
                self.lease.lost(token)
            except OSError as error:
                # The lease runs on for as long as it was given, and not longer.
                self.log(f"heartbeat: {error}")
            else:
                self.lease.kept(token, asked_at, answer)


def main():
    arguments = argparse.ArgumentParser(description="Dials the jobs of a run of onhook.")
    arguments.add_argument("run", help="the run's id, run_…")
    arguments.add_argument("--worker", default=socket.gethostname(), help="its name [default: the host's]: one process each")
    arguments.add_argument("--batch", type=int, default=10, help="jobs at a time [default: 10]")
    given = arguments.parse_args()
    onhook = Onhook(os.environ["GATEWAY_URL"], os.environ["ONHOOK_API_KEY"])
    log = lambda text: print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)
    worker = Worker(onhook, given.run, given.worker, given.batch, log)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: worker.stop.set())
    try:
        why = undialable(onhook.ask("GET", worker.path))
        if why:
            log(why)
            return 1
        worker.work()
    except Problem as problem:
        log(str(problem))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
