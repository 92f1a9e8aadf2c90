//! A webhook as it was on the wire, for verifying it and, when it is refused, for the quarantine.

use crate::{
    http::{Gateway, client},
    quarantine::{Reason, Refused},
    twilio::{
        door::{Door, Parameters},
        verification::Signed,
    },
};
use actix_web::{HttpRequest, http::header};

/// What of a request is raw: nothing of it was decoded or built anew.
pub(super) struct Wire {
    method: String,
    path_and_query: String,
    host: Option<String>,
    content_type: Option<String>,
    signature: Option<String>,
    client: Option<String>,
}

impl Wire {
    pub(super) fn of(request: &HttpRequest, gateway: &Gateway) -> Self {
        let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self {
            method: request.method().to_string(),
            path_and_query: request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned(),
            host: text(header::HOST.as_str()),
            content_type: text(header::CONTENT_TYPE.as_str()),
            signature: text(SIGNATURE),
            client: client::address(request, &gateway.config.http.trusted_proxies).map(|address| address.to_string()),
        }
    }

    /// What proves it.
    pub(super) fn signed<'a>(&'a self, parameters: &'a Parameters) -> Signed<'a> {
        Signed {
            parameters,
            path_and_query: &self.path_and_query,
            host: self.host.as_deref(),
            signature: self.signature.as_deref(),
        }
    }

    /// The address it came from, for logs.
    pub(super) fn client(&self) -> &str {
        self.client.as_deref().unwrap_or("unknown")
    }

    /// It is refused.
    pub(super) fn refused(&self, door: Door, why: (Reason, String), body: &[u8], received_ms: i64) -> Refused {
        Refused {
            tenant: None,
            account: None,
            door,
            method: self.method.clone(),
            path_and_query: self.path_and_query.clone(),
            host: self.host.clone(),
            content_type: self.content_type.clone(),
            signature: self.signature.clone(),
            body: body.to_owned(),
            entry: false,
            client: self.client.clone(),
            verified: false,
            reason: why.0,
            detail: why.1,
            received_ms,
        }
    }
}

const SIGNATURE: &str = "x-twilio-signature";
