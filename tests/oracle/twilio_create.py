"""Twilio's own SDK places the call that `tests/it/twilio/create.rs` places: both must send the same.

Arguments: where to, an account, its token. Prints the sid of the call.
"""

import sys

from twilio.rest import Client

address, account, token = sys.argv[1:]
client = Client(account, token)
client.api.base_url = address
call = client.calls.create(
    to="+14155550101",
    from_="+14155550100",
    url="https://app.example.com/twiml?a=1&b=2",
    method="POST",
    status_callback="https://calls.example.com/status?job_id=7&attempt=1#rc=5&rp=all",
    status_callback_method="POST",
    status_callback_event=["initiated", "ringing", "answered", "completed"],
    timeout=20,
    time_limit=600,
    machine_detection="Enable",
    async_amd="true",
    async_amd_status_callback="https://calls.example.com/amd?job_id=7#rc=5&rp=all",
    async_amd_status_callback_method="POST",
)
print(call.sid)
