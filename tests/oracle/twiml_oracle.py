"""Twilio's own SDK as an oracle for TwiML.

Reads one JSON object per line: verbs (what to build, in the SDK's names) and xml (what onhook wrote for the same).
Answers each with one line: the XML the SDK writes, whether both mean the same (names, attributes, text), and the
attributes in onhook's XML that the SDK's methods do not take.
"""

import inspect
import json
import sys
import xml.etree.ElementTree as ET

from twilio.twiml import lower_camel, voice_response
from twilio.twiml.voice_response import VoiceResponse

METHODS = {
    "Say": VoiceResponse.say,
    "Dial": VoiceResponse.dial,
    "Hangup": VoiceResponse.hangup,
    "Number": voice_response.Dial.number,
    "Client": voice_response.Dial.client,
    "Sip": voice_response.Dial.sip,
}


def meaning(element):
    """An element without what spelling leaves open."""
    return [element.tag, dict(element.attrib), element.text or "", [meaning(child) for child in element]]


def build(verbs):
    response = VoiceResponse()
    for verb in verbs:
        text = [verb["text"]] if "text" in verb else []
        made = METHODS[verb["name"]](response, *text, **verb["given"])
        for noun in verb.get("nouns", []):
            METHODS[noun["name"]](made, noun["text"], **noun["given"])
    return str(response)


def unknown(element):
    taken = set(inspect.signature(METHODS[element.tag]).parameters) if element.tag in METHODS else set()
    taken = {lower_camel(name) for name in taken}
    found = [f"{element.tag} {name}" for name in element.attrib if name not in taken]
    if element.tag not in METHODS and element.tag != "Response":
        found.append(element.tag)
    return found + [name for child in element for name in unknown(child)]


for line in sys.stdin:
    case = json.loads(line)
    theirs, ours = build(case["verbs"]), ET.fromstring(case["xml"].encode())
    answer = {
        "xml": theirs,
        "same": meaning(ET.fromstring(theirs)) == meaning(ours),
        "unknown": unknown(ours),
        "dial_takes_status_callback": "status_callback" in inspect.signature(VoiceResponse.dial).parameters,
    }
    print(json.dumps(answer), flush=True)
