//! Who asks? `Authorization: Bearer <key>`, and whether the key has the scope a handler needs.
//!
//! A handler names the scope in its signature (`key: Can<Read>`), so none can forget to ask.

use super::{Gateway, Problem, ProblemKind};
use crate::directory::{Key, KeyRefused, Scope};
use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web::Data};
use std::{future::Future, marker::PhantomData, ops::Deref, pin::Pin, sync::Arc};

/// A key that has the scope `S`.
#[derive(Clone, Debug)]
pub struct Can<S>(Arc<Key>, PhantomData<S>);

/// A scope in the type of a handler's argument.
pub trait Needs: 'static {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($(#[$doc:meta])* $name:ident => $scope:expr),+ $(,)?) => {
        $($(#[$doc])* #[derive(Clone, Copy, Debug)] pub struct $name; impl Needs for $name { const SCOPE: Scope = $scope; })+
    };
}
needs! {
    /// May look.
    Read => Scope::Read,
    /// May change leads and calls.
    Write => Scope::Write,
    /// May deliver what a PBX reports.
    Deliver => Scope::Ingest,
    /// May manage keys and accounts of its tenant.
    Admin => Scope::Admin,
}

impl<S> Deref for Can<S> {
    type Target = Key;
    fn deref(&self) -> &Key {
        &self.0
    }
}

impl<S: Needs> FromRequest for Can<S> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let key = key_of(&request).await?;
            if key.may(S::SCOPE) {
                return Ok(Self(key, PhantomData));
            }
            let has: Vec<&str> = key.scopes.iter().map(|s| s.as_str()).collect();
            let detail =
                format!("this needs the scope {:?}; the key {:?} has: {}", S::SCOPE.as_str(), key.name, has.join(", "));
            Err(Problem::new(ProblemKind::ScopeMissing, detail))
        })
    }
}

/// The key of a request. Whoever has none learns nothing of what else would be wrong.
pub(super) async fn key_of(request: &HttpRequest) -> Result<Arc<Key>, Problem> {
    let refused = |detail: &str| Problem::new(ProblemKind::Unauthorized, detail);
    let gateway = request
        .app_data::<Data<Gateway>>()
        .ok_or_else(|| Problem::internal(&"the gateway is missing from the application"))?;
    let header = request.headers().get(header::AUTHORIZATION);
    let header = header.ok_or_else(|| refused("send the header `Authorization: Bearer <key>`"))?;
    let presented = header
        .to_str()
        .ok()
        .and_then(|h| h.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim())
        .ok_or_else(|| refused("the Authorization header is not `Bearer <key>`"))?;
    gateway.directory.key(presented).await.map_err(|why| match why {
        KeyRefused::Unknown => refused("nobody knows this key"),
        KeyRefused::Revoked => refused("this key was revoked"),
        KeyRefused::Expired => refused("this key has expired"),
        KeyRefused::Unavailable => {
            Problem::new(ProblemKind::Unavailable, "the key cannot be looked up: the database cannot be reached")
        }
    })
}
