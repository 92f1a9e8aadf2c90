//! Twilio's own description of its REST API, as an oracle: what the double answers and what our code asks is held
//! against it. It is OpenAPI 3.0, and uses few of its words; a word this reader does not know is a failure.

use onhook::{domain::time::parse_rfc2822, double::Heard};
use serde_json::Value;
use std::{env, fs, sync::OnceLock};

/// The description.
pub struct Description(Value);

/// The one of the test run.
pub fn description() -> &'static Description {
    static READ: OnceLock<Description> = OnceLock::new();
    READ.get_or_init(|| {
        let path = env::var("ONHOOK_TEST_TWILIO_OAI").expect(
            "there is no API description (ONHOOK_TEST_TWILIO_OAI is not set): run scripts/test, which fetches it",
        );
        Description(serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
    })
}

impl Description {
    /// The answer is what the description says of this operation: nothing of another type, nothing it does not know.
    #[track_caller]
    pub fn check_answer(&self, method: &str, path: &str, status: u16, body: &Value) {
        let operation = self.operation(method, path);
        let schema = &operation["responses"][status.to_string()]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} answers no {status}");
        let mut wrong = Vec::new();
        self.compare(schema, body, "", &mut wrong);
        assert!(wrong.is_empty(), "{method} {path}:\n  {}\n{body:#}", wrong.join("\n  "));
    }

    /// Every parameter of a request exists.
    #[track_caller]
    pub fn check_request(&self, heard: &Heard) {
        let operation = self.operation(&heard.method, &heard.path);
        let parameters = operation["parameters"].as_array().unwrap();
        let query = |name: &str| parameters.iter().any(|p| p["in"] == "query" && p["name"] == name);
        let body = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["properties"];
        let unknown: Vec<&String> = heard.query.iter().filter(|name| !query(name)).collect();
        assert!(unknown.is_empty(), "{} {} has no query parameters {unknown:?}", heard.method, heard.path);
        let unknown: Vec<&String> = heard.form.iter().filter(|name| body.get(name.as_str()).is_none()).collect();
        assert!(unknown.is_empty(), "{} {} has no parameters {unknown:?}", heard.method, heard.path);
    }

    #[track_caller]
    fn operation(&self, method: &str, path: &str) -> &Value {
        let (wanted, suffix) = (path.trim_end_matches(".json").split('/'), path.ends_with(".json"));
        let wanted: Vec<&str> = wanted.collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.trim_end_matches(".json").split('/').collect();
            let same = |(part, wanted): (&&str, &&str)| part == wanted || (part.starts_with('{') && !wanted.is_empty());
            suffix && parts.len() == wanted.len() && parts.iter().zip(&wanted).all(same)
        };
        let paths = self.0["paths"].as_object().unwrap();
        let found = paths.iter().find(|(template, _)| fits(template));
        let (_, found) = found.unwrap_or_else(|| panic!("the description has no path {path}"));
        let operation = &found[method.to_lowercase()];
        assert!(operation.is_object(), "the description has no {method} {path}");
        operation
    }

    fn compare(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.strip_prefix("#/components/schemas/").unwrap();
            return self.compare(&self.0["components"]["schemas"][name], value, at, wrong);
        }
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        for (word, said) in schema.as_object().unwrap_or_else(|| panic!("no schema at {at}")) {
            let fits = match word.as_str() {
                "type" => match said.as_str().unwrap() {
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64(),
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    other => panic!("a type {other} at {at}"),
                },
                "enum" => said.as_array().unwrap().contains(value),
                "minLength" => value.as_str().is_some_and(|text| text.len() as u64 >= said.as_u64().unwrap()),
                "maxLength" => value.as_str().is_some_and(|text| text.len() as u64 <= said.as_u64().unwrap()),
                "pattern" => value.as_str().is_some_and(|text| fits_pattern(said.as_str().unwrap(), text)),
                "format" if said == "date-time-rfc-2822" => value.as_str().and_then(parse_rfc2822).is_some(),
                "required" => said.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
                "items" => {
                    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.compare(said, item, &format!("{at}[{n}]"), wrong);
                    }
                    true
                }
                "properties" => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        match said.get(name) {
                            Some(schema) => self.compare(schema, value, &format!("{at}.{name}"), wrong),
                            None => wrong.push(format!("{at}.{name}: there is no such property")),
                        }
                    }
                    true
                }
                "format" | "nullable" | "title" | "description" => true,
                word if word.starts_with("x-") => true,
                word => panic!("the description says {word} at {at}: teach this reader what it means"),
            };
            if !fits {
                wrong.push(format!("{at}: {word} {said} does not allow {value}"));
            }
        }
    }
}

/// The patterns of the description are those of sids.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    let prefix = pattern.strip_prefix('^').and_then(|p| p.strip_suffix("[0-9a-fA-F]{32}$"));
    let prefix = prefix.unwrap_or_else(|| panic!("the pattern {pattern}: teach this reader what it means"));
    text.strip_prefix(prefix).is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[test]
fn the_oracle_sees_what_is_wrong() {
    let wrong = |body: Value| {
        let schema = serde_json::json!({ "$ref": "#/components/schemas/api.v2010.account.call" });
        let mut wrong = Vec::new();
        description().compare(&schema, &body, "", &mut wrong);
        wrong.len()
    };
    let call = serde_json::json!({ "sid": "CA00000000000000000000000000000042", "status": "ringing", "price": null });
    assert_eq!(wrong(call.clone()), 0);
    for (key, value) in [("sid", "CA42"), ("status", "initiated"), ("date_created", "2026-01-02"), ("kind", "call")] {
        let mut call = call.clone();
        call[key] = value.into();
        assert_ne!(wrong(call), 0, "{key} {value}");
    }
    assert_eq!(wrong(serde_json::json!({ "duration": 15 })), 1, "seconds are a text");
}
