//! The REST API, as far as a gateway needs it: accounts, numbers, apps, calls and what was sent about them.
//!
//! Shapes are those of Twilio's API description, which the tests hold them against; what it says nothing about
//! (errors, order, paging) is as in Twilio's documentation and in answers that people published.

mod calls;
mod page;
mod refusal;
mod view;

pub use refusal::Refusal;

use super::{Account, Double, Outage};
use crate::{
    domain::time::{MINUTE, Millis, SECOND},
    twilio::form::Form,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use page::Paging;
use secrecy::ExposeSecret;
use serde_json::Value;

/// A request to the REST API.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path, raw.
    pub path: &'a str,
    /// The query string, raw, without `?`.
    pub query: &'a str,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The body, a form.
    pub body: &'a [u8],
}

/// What is answered: JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// How many seconds the header `Retry-After` asks to wait, if there is one.
    pub retry_after_s: Option<u32>,
    /// How it arrives.
    pub manner: Manner,
}

/// How an answer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// At once.
    Whole,
    /// After so many milliseconds of real time.
    After(Millis),
    /// It does not: the connection is cut.
    Cut,
}

/// What a test asks of a request afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, raw.
    pub path: String,
    /// The names in the query string.
    pub query: Vec<String>,
    /// The names in the body.
    pub form: Vec<String>,
}

/// How often the API was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Asked {
    /// Requests.
    pub requests: u64,
    /// Those of them that came while it was out of order.
    pub out_of_order: u64,
}

/// A request whose sender is known.
struct Known<'a> {
    account: Account,
    path: &'a str,
    query: Form,
    form: Form,
    now_ms: Millis,
}

impl Double {
    /// What the REST API answers; nothing during a silent outage.
    pub fn ask(&mut self, question: &Question<'_>, now_ms: Millis) -> Option<Answer> {
        self.advance(now_ms);
        self.hear(question);
        self.questions.requests += 1;
        self.questions.out_of_order += u64::from(self.outage.is_some());
        match self.outage {
            Some(Outage::Silence) => return None,
            Some(Outage::Status(status)) => return Some(Refusal::of_outage(status).into()),
            None => {}
        }
        Some(self.admit(question, now_ms).unwrap_or_else(Answer::from))
    }

    fn hear(&mut self, question: &Question<'_>) {
        let names = |bytes: &[u8]| -> Vec<String> {
            let form = Form::parse(bytes).unwrap_or_default();
            form.pairs().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
        };
        if self.heard.len() == HEARD_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(Heard {
            method: question.method.to_owned(),
            path: question.path.to_owned(),
            query: names(question.query.as_bytes()),
            form: names(question.body),
        });
    }

    fn admit(&mut self, question: &Question<'_>, now_ms: Millis) -> Result<Answer, Refusal> {
        let rest =
            question.path.strip_prefix("/2010-04-01/Accounts").ok_or_else(|| Refusal::not_found(question.path))?;
        let path: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        let named = path.first().ok_or_else(|| Refusal::not_found(question.path))?.trim_end_matches(".json");
        let account = self.authenticate(question.authorization, named)?;
        self.count(&account.sid, now_ms)?;
        let parse = |bytes: &[u8]| Form::parse(bytes).map_err(|_| Refusal::bad("the form has too many parameters"));
        let (query, form) = (parse(question.query.as_bytes())?, parse(question.body)?);
        let asked = Known { account, path: question.path, query, form, now_ms };
        self.route(question.method, path.get(1..).unwrap_or_default(), &asked)
    }

    fn route(&mut self, method: &str, below: &[&str], asked: &Known<'_>) -> Result<Answer, Refusal> {
        let Some(below) = Self::without_suffix(below) else {
            return match (method, asked.path.ends_with(".json")) {
                ("GET", true) => Ok(Answer::ok(view::account(&asked.account))),
                _ => Err(Refusal::not_found(asked.path)),
            };
        };
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        match (method, below.as_slice()) {
            ("GET", ["Calls"]) => self.list_calls(asked),
            ("POST", ["Calls"]) => self.create_call(asked),
            ("GET", ["Calls", sid]) => self.load_call(asked, sid),
            ("POST", ["Calls", sid]) => self.update_call(asked, sid),
            ("GET", ["Calls", sid, "Events"]) => self.list_exchanges(asked, sid),
            ("GET", ["IncomingPhoneNumbers"]) => self.list_numbers(asked),
            ("GET", ["IncomingPhoneNumbers", sid]) => self.load_number(asked, sid),
            ("GET", ["Applications"]) => self.list_applications(asked),
            ("GET", ["Applications", sid]) => self.load_application(asked, sid),
            (_, ["Calls", ..] | ["IncomingPhoneNumbers", ..] | ["Applications", ..]) => {
                Err(Refusal::method_not_allowed())
            }
            _ => Err(Refusal::not_found(asked.path)),
        }
    }

    /// The path below the account, the last part without its `.json`. Without the suffix Twilio answers XML, which the
    /// double does not speak. None if there is nothing below.
    fn without_suffix(below: &[&str]) -> Option<Vec<String>> {
        let (last, before) = below.split_last()?;
        let last = last.strip_suffix(".json").unwrap_or("");
        Some(before.iter().copied().chain([last]).map(str::to_owned).collect())
    }

    /// The account that is asked about, if the credentials are its own or its parent's.
    fn authenticate(&self, authorization: Option<&str>, named: &str) -> Result<Account, Refusal> {
        let credentials = authorization.and_then(|header| header.strip_prefix("Basic ")).and_then(|text| {
            let text = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
            let (user, password) = text.split_once(':')?;
            Some((user.to_owned(), password.to_owned()))
        });
        let (user, password) = credentials.ok_or_else(Refusal::unauthorized)?;
        let known = self.accounts.get(&user).filter(|account| account.auth_token.expose_secret() == password);
        let known = known.ok_or_else(Refusal::unauthorized)?;
        let account = self.accounts.get(named).ok_or_else(Refusal::unauthorized)?;
        let opens = account.sid == known.sid || account.owner_sid.as_ref() == Some(&known.sid);
        if opens { Ok(account.clone()) } else { Err(Refusal::unauthorized()) }
    }

    /// Refuses what is too much for one second.
    fn count(&mut self, account_sid: &str, now_ms: Millis) -> Result<(), Refusal> {
        let second = now_ms.div_euclid(SECOND);
        let counted = self.asked.entry(account_sid.to_owned()).or_insert((second, 0));
        if counted.0 != second {
            *counted = (second, 0);
        }
        counted.1 += 1;
        let over = self.setup.requests_per_second.is_some_and(|most| counted.1 > most);
        if over { Err(Refusal::too_many()) } else { Ok(()) }
    }

    fn list_exchanges(&self, asked: &Known<'_>, sid: &str) -> Result<Answer, Refusal> {
        let call = self.visible(asked, sid)?;
        let ended_ms = call.seen(asked.now_ms).and_then(|seen| seen.ended_ms);
        let shown = ended_ms.is_some_and(|at_ms| asked.now_ms - at_ms >= EXCHANGES_AFTER_MS);
        let exchanges = if shown { call.exchanges.as_slice() } else { &[] };
        let rows: Vec<_> = exchanges.iter().enumerate().map(|(n, row)| (n.to_string(), row)).collect();
        Paging::of(asked)?.answer("events", &rows, |row| view::exchange(row))
    }

    fn list_numbers(&self, asked: &Known<'_>) -> Result<Answer, Refusal> {
        let wanted = |name: &str, value: &str| asked.query.first(name).is_none_or(|wanted| wanted == value);
        let numbers = self.numbers.iter().filter(|n| n.account_sid == asked.account.sid);
        let numbers = numbers.filter(|n| wanted("PhoneNumber", &n.phone_number));
        let numbers = numbers.filter(|n| wanted("FriendlyName", &n.friendly_name));
        let rows: Vec<_> = numbers.map(|n| (n.sid.clone(), n)).collect();
        Paging::of(asked)?.answer("incoming_phone_numbers", &rows, |n| view::number(n, &asked.account))
    }

    fn load_number(&self, asked: &Known<'_>, sid: &str) -> Result<Answer, Refusal> {
        let number = self.numbers.iter().find(|n| n.account_sid == asked.account.sid && n.sid == sid);
        number.map(|n| Answer::ok(view::number(n, &asked.account))).ok_or_else(|| Refusal::not_found(asked.path))
    }

    fn list_applications(&self, asked: &Known<'_>) -> Result<Answer, Refusal> {
        let wanted = asked.query.first("FriendlyName");
        let applications = self.applications.iter().filter(|a| a.account_sid == asked.account.sid);
        let applications = applications.filter(|a| wanted.as_ref().is_none_or(|wanted| *wanted == a.friendly_name));
        let rows: Vec<_> = applications.map(|a| (a.sid.clone(), a)).collect();
        Paging::of(asked)?.answer("applications", &rows, |a| view::application(a, &asked.account))
    }

    fn load_application(&self, asked: &Known<'_>, sid: &str) -> Result<Answer, Refusal> {
        let application = self.applications.iter().find(|a| a.account_sid == asked.account.sid && a.sid == sid);
        let found = application.ok_or_else(|| Refusal::not_found(asked.path))?;
        Ok(Answer::ok(view::application(found, &asked.account)))
    }
}

impl Answer {
    /// 200.
    pub const fn ok(body: Value) -> Self {
        Self { status: 200, body, retry_after_s: None, manner: Manner::Whole }
    }
}

/// `Events.json` of a call is there 15 minutes after its end
/// (<https://www.twilio.com/docs/voice/api/call-event-resource>).
const EXCHANGES_AFTER_MS: Millis = 15 * MINUTE;
/// How many requests are remembered.
const HEARD_MAX: usize = 1_000;
