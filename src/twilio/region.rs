//! Where Twilio's REST API is: one host for the United States, one for each edge and region. Accounts, calls and
//! credentials are of one region; at another one they are unknown.

use url::Url;

/// Whether this is a place of Twilio's own, and nothing that leads elsewhere: whoever may say where an account is asked
/// must not make us send requests into our own network.
pub fn is_twilios(base: &Url) -> bool {
    let bare = base.username().is_empty() && base.password().is_none() && base.port().is_none();
    let alone = base.path() == "/" && base.query().is_none() && base.fragment().is_none();
    let labels: Vec<&str> = base.host_str().unwrap_or_default().split('.').collect();
    let host = match labels.as_slice() {
        // Hosts with a region only were switched off in April 2026, but for this one.
        ["api", "twilio", "com"] | ["api", "us1", "twilio", "com"] => true,
        ["api", edge, region, "twilio", "com"] => !edge.is_empty() && !region.is_empty(),
        _ => false,
    };
    base.scheme() == "https" && bare && alone && host
}

/// What is allowed, in words.
pub const ALLOWED: &str =
    "https://api.twilio.com or the host of an edge and a region, such as https://api.dublin.ie1.twilio.com";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_twilios_api_are_its_own() {
        let is = |text: &str| is_twilios(&Url::parse(text).unwrap());
        for good in [
            "https://api.twilio.com",
            "https://api.us1.twilio.com/",
            "https://api.dublin.ie1.twilio.com",
            "https://API.sydney.au1.twilio.com",
        ] {
            assert!(is(good), "{good}");
        }
        for bad in [
            "http://api.twilio.com",
            "https://api.ie1.twilio.com",
            "https://api.twilio.com.evil.example",
            "https://api.a.b.c.twilio.com",
            "https://twilio.com",
            "https://api..ie1.twilio.com",
            "https://api.twilio.com:8443",
            "https://u:p@api.twilio.com",
            "https://api.twilio.com/x",
            "https://api.twilio.com/?x",
            "https://169.254.169.254",
            "https://localhost",
        ] {
            assert!(!is(bad), "{bad}");
        }
    }
}
