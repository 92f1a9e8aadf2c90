//! What the REST API shows of each thing, field by field as in Twilio's API description.

use crate::{
    domain::{state::Status, time, time::Millis},
    double::{
        Account, Application, Call, Hook, PhoneNumber,
        call::{Exchange, Seen},
    },
};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

/// An account, its token included: Twilio shows it to whoever has it.
pub fn account(account: &Account) -> Value {
    let uri = format!("/2010-04-01/Accounts/{}", account.sid);
    let lists =
        [("calls", "Calls"), ("incoming_phone_numbers", "IncomingPhoneNumbers"), ("applications", "Applications")];
    let subresources: Map<String, Value> =
        lists.iter().map(|(name, list)| ((*name).to_owned(), format!("{uri}/{list}.json").into())).collect();
    json!({
        "sid": account.sid,
        "owner_account_sid": account.owner_sid.as_ref().unwrap_or(&account.sid),
        "friendly_name": account.friendly_name,
        "auth_token": account.auth_token.expose_secret(),
        "status": "active",
        "type": "Full",
        "date_created": time::rfc2822(account.created_ms),
        "date_updated": time::rfc2822(account.created_ms),
        "uri": format!("{uri}.json"),
        "subresource_uris": subresources,
    })
}

/// A call as it was seen.
pub fn call(call: &Call, seen: &Seen) -> Value {
    let uri = format!("/2010-04-01/Accounts/{}/Calls/{}", call.account_sid, call.sid);
    let queued = seen.status == Status::Queued;
    // REST has no such word: a call that is being dialed rings.
    let status = if seen.status == Status::Initiated { Status::Ringing } else { seen.status };
    let when = |at_ms: Option<Millis>| at_ms.map(time::rfc2822);
    let price =
        seen.ended_ms.filter(|_| seen.seconds() > 0).map(|_| format!("-{:.5}", PRICE_PER_MINUTE * minutes(seen)));
    json!({
        "sid": call.sid,
        "account_sid": call.account_sid,
        "parent_call_sid": call.parent_sid,
        "phone_number_sid": call.phone_number_sid,
        "group_sid": null,
        "trunk_sid": null,
        "from": address(&call.from),
        "from_formatted": address(&call.from),
        "to": address(&call.to),
        "to_formatted": address(&call.to),
        "forwarded_from": null,
        "caller_name": null,
        "direction": call.direction,
        "status": status,
        "answered_by": seen.answered_by,
        // A call that was just placed has no dates yet.
        "date_created": when(Some(seen.created_ms).filter(|_| !queued)),
        "date_updated": when(Some(seen.updated_ms).filter(|_| !queued)),
        "start_time": when(seen.started_ms),
        "end_time": when(seen.ended_ms),
        "duration": seen.ended_ms.map(|_| seen.seconds().to_string()),
        "price": price,
        "price_unit": "USD",
        "queue_time": seen.started_ms.map_or(0, |at_ms| at_ms - seen.created_ms).to_string(),
        "api_version": "2010-04-01",
        "uri": format!("{uri}.json"),
        "subresource_uris": { "events": format!("{uri}/Events.json"), "recordings": format!("{uri}/Recordings.json") },
    })
}

#[expect(clippy::cast_precision_loss, reason = "a call lasts fewer minutes than a float can count")]
fn minutes(seen: &Seen) -> f64 {
    seen.minutes() as f64
}

/// SIP addresses are shown without their scheme.
fn address(address: &str) -> &str {
    address.strip_prefix("sip:").unwrap_or(address)
}

/// A request that was made, and what was answered.
pub fn exchange(exchange: &Exchange) -> Value {
    let parameters: Map<String, Value> =
        exchange.parameters.iter().map(|(name, value)| (snake_case(name), value.as_str().into())).collect();
    let answer = exchange.answer.as_ref().map(|answer| {
        json!({
            "response_code": answer.status,
            "request_duration": answer.took_ms,
            "content_type": answer.content_type,
            "response_body": answer.body,
            "date_created": time::rfc2822(answer.at_ms),
        })
    });
    json!({
        "request": { "method": exchange.method, "url": exchange.url, "parameters": parameters },
        "response": answer,
    })
}

/// `CallSid` → `call_sid`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, c) in name.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// A phone number.
pub fn number(number: &PhoneNumber, account: &Account) -> Value {
    let mut row = hooks(&number.hooks);
    let PhoneNumber { sid, account_sid, .. } = number;
    let date = time::rfc2822(account.created_ms);
    row.extend(object(json!({
        "sid": sid,
        "account_sid": account_sid,
        "phone_number": number.phone_number,
        "friendly_name": number.friendly_name,
        "voice_application_sid": number.voice_application_sid,
        "voice_receive_mode": "voice",
        "capabilities": { "voice": true, "sms": true, "mms": false, "fax": false },
        "address_requirements": "none",
        "address_sid": null,
        "identity_sid": null,
        "bundle_sid": null,
        "trunk_sid": null,
        "emergency_status": "Inactive",
        "emergency_address_sid": null,
        "emergency_address_status": "unregistered",
        "sms_application_sid": null,
        "origin": "twilio",
        "beta": false,
        "status": "in-use",
        "date_created": date,
        "date_updated": date,
        "uri": format!("/2010-04-01/Accounts/{account_sid}/IncomingPhoneNumbers/{sid}.json"),
    })));
    Value::Object(row)
}

/// A TwiML app.
pub fn application(application: &Application, account: &Account) -> Value {
    let mut row = hooks(&application.hooks);
    let Application { sid, account_sid, .. } = application;
    let date = time::rfc2822(account.created_ms);
    row.extend(object(json!({
        "sid": sid,
        "account_sid": account_sid,
        "friendly_name": application.friendly_name,
        "message_status_callback": null,
        "sms_status_callback": null,
        "public_application_connect_enabled": false,
        "date_created": date,
        "date_updated": date,
        "uri": format!("/2010-04-01/Accounts/{account_sid}/Applications/{sid}.json"),
    })));
    Value::Object(row)
}

/// The URLs of a number or an app. One that is not set is an empty text, as Twilio shows it.
fn hooks(hooks: &crate::double::Voice) -> Map<String, Value> {
    let url = |hook: &Option<Hook>| hook.as_ref().map(|hook| hook.url.clone()).unwrap_or_default();
    let method = |hook: &Option<Hook>| hook.as_ref().map_or("POST", |hook| hook.method.as_str());
    object(json!({
        "api_version": "2010-04-01",
        "voice_url": url(&hooks.voice),
        "voice_method": method(&hooks.voice),
        "voice_fallback_url": url(&hooks.fallback),
        "voice_fallback_method": method(&hooks.fallback),
        "voice_caller_id_lookup": false,
        "status_callback": url(&hooks.status_callback),
        "status_callback_method": method(&hooks.status_callback),
        "sms_url": "",
        "sms_method": "POST",
        "sms_fallback_url": "",
        "sms_fallback_method": "POST",
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Made up; a price a minute.
const PRICE_PER_MINUTE: f64 = 0.014;
