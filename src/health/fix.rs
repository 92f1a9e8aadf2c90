//! Where Twilio is told the address of a callback, word for word: what to write where.

use crate::{domain::state::Direction, twilio::callback_url::OVERRIDES as RETRIED};

/// Where Twilio is told the URL, by direction. Twilio's documentation: `voice/twiml/dial`, `voice/twiml/number`,
/// `voice/api/call-resource`, `phone-numbers/api/incomingphonenumber-resource`.
pub(super) fn ending_fix(direction: &str, url: &str) -> String {
    match direction.parse() {
        Ok(Direction::OutboundDial) => dial_fix(url),
        Ok(Direction::OutboundApi) => api_fix(url),
        Ok(Direction::Inbound) => inbound_fix(url),
        Ok(Direction::TrunkingOriginating | Direction::TrunkingTerminating) => {
            "Twilio sends no status callbacks for calls of an elastic SIP trunk: let an event stream tell their endings"
                .to_owned()
        }
        Err(_) => format!(
            "dialed legs: {}. Calls placed by the API: {}. Inbound calls: {}",
            dial_fix(url),
            api_fix(url),
            inbound_fix(url)
        ),
    }
}

fn dial_fix(url: &str) -> String {
    let escaped = RETRIED.replace('&', "&amp;");
    format!(
        "<Dial> has no statusCallback: Twilio ignores it there, and the action of <Dial> does not replace it. Write on each \
         <Number>, <Client> or <Sip> inside it: statusCallback=\"{url}{escaped}\" \
         statusCallbackEvent=\"initiated ringing answered completed\" statusCallbackMethod=\"POST\" \
         (a library that writes the XML for you wants the URL as {url}{RETRIED})"
    )
}

fn api_fix(url: &str) -> String {
    format!(
        "send with POST /Calls: StatusCallback={url}{RETRIED} StatusCallbackMethod=POST and four parameters \
         StatusCallbackEvent=initiated StatusCallbackEvent=ringing StatusCallbackEvent=answered \
         StatusCallbackEvent=completed, not one that joins them. With ApplicationSid Twilio ignores all of these: leave it \
         out and send Url, or set the status callback URL of that TwiML App"
    )
}

fn inbound_fix(url: &str) -> String {
    format!(
        "open the phone number in the Twilio console and write into \"Call status changes\": {url}{RETRIED} with HTTP POST \
         (in the API: StatusCallback of the IncomingPhoneNumber). If the number is handled by a TwiML App, its own URLs are \
         ignored: set the status callback URL of the App"
    )
}
