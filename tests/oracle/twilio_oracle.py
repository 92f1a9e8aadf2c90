"""Twilio's own SDK as an oracle for signatures.

Reads one JSON object per line: token, url, body (the raw form, null for a GET), json (the raw body where it is no form,
else null), signature (may be empty). Answers each with one line: the signature the SDK computes, and whether it accepts
the one it was given.
"""

import json
import sys
from urllib.parse import parse_qsl

from twilio.request_validator import RequestValidator


class Parameters(dict):
    """What web frameworks hand to the SDK: every value of a name."""

    def __init__(self, body):
        super().__init__()
        for name, value in parse_qsl(body, keep_blank_values=True):
            self.setdefault(name, []).append(value)

    def getall(self, name):
        return self[name]


def valid(validator, case, parameters):
    # A body that is no form is handed over as text: the SDK compares its hash with the one in the URL.
    if case["json"] is None:
        return validator.validate(case["url"], parameters, case["signature"])
    try:
        return validator.validate(case["url"], case["json"], case["signature"])
    except TypeError:
        # It takes the text for a form where the URL has no bodySHA256.
        return False


for line in sys.stdin:
    case = json.loads(line)
    validator = RequestValidator(case["token"])
    parameters = {} if case["body"] is None else Parameters(case["body"])
    answer = {
        "computed": validator.compute_signature(case["url"], parameters),
        "valid": valid(validator, case, parameters),
    }
    print(json.dumps(answer), flush=True)
