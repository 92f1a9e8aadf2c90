"""Twilio's own SDK as a client of the double: does it understand every answer?

Arguments: the double's address, an account, its token. Prints one JSON object of what the SDK made of the answers.
"""

import json
import sys
from datetime import datetime, timezone

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

address, account, token = sys.argv[1:]
client = Client(account, token)
client.api.base_url = address


def refused(ask):
    try:
        ask()
    except TwilioRestException as refusal:
        return [refusal.status, refusal.code]
    return None


created = client.calls.create(
    to="+14155550101",
    from_="+14155550100",
    url="https://app.example.com/twiml",
    status_callback="https://calls.example.com/status?lead_id=42#rc=5&rp=all",
    status_callback_event=["initiated", "ringing", "answered", "completed"],
    machine_detection="Enable",
    timeout=20,
)
midnight = datetime(2026, 1, 2, tzinfo=timezone.utc)
stranger = Client(account, "another")
stranger.api.base_url = address
print(
    json.dumps(
        {
            "created": [created.sid, created.status, created.date_created],
            "listed": [call.sid for call in client.calls.list(page_size=3)],
            "limited": len(client.calls.list(limit=4, page_size=2)),
            "busy": [[call.status, call.duration] for call in client.calls.list(status="busy")],
            "since_midnight": len(client.calls.list(start_time_after=midnight)),
            "before_midnight": len(client.calls.list(start_time_before=midnight)),
            "to": len(client.calls.list(to="+14155550102")),
            "fetched": client.calls(created.sid).fetch().to,
            "canceled": client.calls(created.sid).update(status="canceled").status,
            "over": refused(lambda: client.calls(created.sid).update(status="completed")),
            "nobody": refused(lambda: client.calls("CA" + 32 * "0").fetch()),
            "no_to": refused(lambda: client.calls.create(to="", from_="+14155550100", url="https://app.example.com")),
            "stranger": refused(lambda: stranger.calls(created.sid).fetch()),
            "account": [client.api.accounts(account).fetch().status, client.api.accounts(account).fetch().auth_token],
            "numbers": [number.voice_url for number in client.incoming_phone_numbers.list()],
            "applications": [app.friendly_name for app in client.applications.list()],
            "events": [
                [event.request["parameters"]["call_status"], event.response["response_code"]]
                for call in client.calls.list(status="busy")
                for event in client.calls(call.sid).events.list()
            ],
        }
    )
)
