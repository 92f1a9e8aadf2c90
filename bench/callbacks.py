"""The load: signed status callbacks of calls that all go initiated, ringing, in-progress, completed.

One file for each thread of the load tool, so that no request is sent twice. A file is a row of records, each a length
in six digits and an HTTP request. The calls come in blocks: first every `initiated` of a block, then every `ringing`,
and so on, so that the callbacks of one call are `BLOCK` requests apart, as they are in life, and not a race.
"""

import base64
import hashlib
import hmac
import random
import time
from concurrent.futures import ProcessPoolExecutor
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

BLOCK = 256
EVENTS = ("initiated", "ringing", "in-progress", "completed")
SECONDS_SINCE_START = (0, 2, 5, 25)
LEADS = 10_000

ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
AUTH_TOKEN = "bench0123456789abcdef0123456789a"
PUBLIC_HOST = "bench.example"
PATH = "/webhooks/twilio/status"


def lead_id(number):
    return f"lead-{number % LEADS:05d}"


def phone(number):
    """A documentation number (555-01xx) of one of some hundred area codes."""
    return f"+1{201 + number // 100 % 600}55501{number % 100:02d}"


def expected(sent):
    """(events, calls, completed calls) after the first `sent` requests of a file."""
    blocks, rest = divmod(sent, BLOCK * len(EVENTS))
    calls = blocks * BLOCK + min(rest, BLOCK)
    completed = blocks * BLOCK + max(0, rest - (len(EVENTS) - 1) * BLOCK)
    return sent, calls, completed


def body_of(call, event, started):
    """The parameters of a call made through REST, as a list of (name, value) in the order they are sent."""
    to, ours = phone(call["number"]), "+12065550100"
    parameters = [
        ("Called", to), ("ToState", "WA"), ("CallerCountry", "US"), ("Direction", "outbound-api"),
        ("Timestamp", formatdate(started + SECONDS_SINCE_START[event])), ("CallbackSource", "call-progress-events"),
        ("CallerState", "WA"), ("ToZip", "98101"), ("SequenceNumber", str(event)), ("CallSid", call["sid"]),
        ("To", to), ("CallerZip", "98101"), ("ToCountry", "US"), ("CalledZip", "98101"), ("ApiVersion", "2010-04-01"),
        ("CalledCity", "SEATTLE"), ("CallStatus", EVENTS[event]), ("From", ours), ("AccountSid", ACCOUNT_SID),
        ("CalledCountry", "US"), ("CallerCity", "SEATTLE"), ("ToCity", "SEATTLE"), ("FromCountry", "US"),
        ("Caller", ours), ("FromCity", "SEATTLE"), ("CalledState", "WA"), ("FromZip", "98101"), ("FromState", "WA"),
    ]
    if EVENTS[event] == "completed":
        parameters += [("Duration", "1"), ("CallDuration", "20"), ("SipResponseCode", "200")]
    return parameters


def signature(url, parameters):
    signed = url + "".join(name + value for name, value in sorted(parameters))
    digest = hmac.new(AUTH_TOKEN.encode(), signed.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def request_of(call, event, started):
    target = f"{PATH}?lead_id={call['lead']}"
    parameters = body_of(call, event, started)
    body = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters)
    return (
        f"POST {target} HTTP/1.1\r\n"
        f"Host: {PUBLIC_HOST}\r\n"
        "User-Agent: TwilioProxy/1.1\r\n"
        "Accept: */*\r\n"
        "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"I-Twilio-Idempotency-Token: {call['token']}-{event}\r\n"
        f"X-Twilio-Signature: {signature(f'https://{PUBLIC_HOST}{target}', parameters)}\r\n"
        "\r\n"
        f"{body}"
    ).encode()


def write_file(path, first, requests, seed):
    generator = random.Random(seed)
    started = time.time() - 60
    blocks = -(-requests // (BLOCK * len(EVENTS)))
    with open(path, "wb") as file:
        for block in range(blocks):
            calls = [
                {
                    "sid": f"CA{generator.getrandbits(128):032x}",
                    "token": f"{generator.getrandbits(128):032x}",
                    "number": number,
                    "lead": lead_id(number),
                }
                for number in range(first + block * BLOCK, first + (block + 1) * BLOCK)
            ]
            for event in range(len(EVENTS)):
                for call in calls:
                    record = request_of(call, event, started)
                    file.write(b"%06d" % len(record) + record)


def first_call(thread, threads):
    """Each thread numbers its calls from another place, also among the leads: they do not meet at one lead."""
    return thread * 1000 * LEADS + thread * LEADS // threads


def write_all(folder, name, threads, requests):
    """Writes `requests` requests in `threads` files `<folder>/<name>-<thread>`, threads counted from 1."""
    per_thread = -(-requests // threads)
    Path(folder).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        jobs = [
            pool.submit(write_file, f"{folder}/{name}-{thread}", first_call(thread, threads), per_thread, f"{name} {thread}")
            for thread in range(1, threads + 1)
        ]
        for job in jobs:
            job.result()
