//! Where an account is asked, and with its API key before its tokens.

use super::Asking;
use crate::support::{
    canned::{Canned, Reply, Seen},
    gateway::{ACCOUNT, START_MS},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use onhook::{
    directory::{ApiKey, change},
    domain::time::MINUTE,
    provider::{TroubleKind, Truth},
    seal::Owner,
    store::accounts,
};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;
use std::sync::Arc;

const SUB: &str = "AC00000000000000000000000000000002";
const KEY: &str = "SK000000000000000000000000000000bb";

/// Who asked: the user of basic authentication.
fn users(seen: &[Seen]) -> Vec<String> {
    let user = |seen: &Seen| {
        let text = seen.headers["authorization"].strip_prefix("Basic ").unwrap();
        let text = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        text.split_once(':').unwrap().0.to_owned()
    };
    seen.iter().map(user).collect()
}

/// A Twilio that takes whoever `takes` says, and knows no calls.
async fn twilio(takes: &'static str) -> Canned {
    Canned::serve(move |_, seen| match users(std::slice::from_ref(seen))[0].starts_with(takes) {
        true => Reply::json(json!({"calls": [], "next_page_uri": null})),
        false => Reply { status: 401, ..Reply::json(json!({"code": 20003, "status": 401})) },
    })
    .await
}

impl Asking {
    async fn set_access(&self, account: &str, base: Option<&str>, key: Option<&str>) {
        let key = key.map(|sid| ApiKey { sid: sid.into(), secret: "hush".into() });
        let owner = Owner { tenant: "acme", account };
        let mut rng = StdRng::seed_from_u64(3);
        let access =
            change::seal_access(&super::sealer(), &mut rng, owner, base.map(Into::into), key.as_ref()).unwrap();
        let mut tx = self.at.db.begin().await.unwrap();
        assert_eq!(accounts::set_access(&mut tx, "acme", account, &access).await.unwrap(), 1);
        tx.commit().await.unwrap();
        self.directory.refresh().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_tried_first_and_the_token_after_it() {
    let (keys, tokens) = (twilio("SK").await, twilio("AC").await);
    for (server, expected) in [(&keys, vec![KEY]), (&tokens, vec![KEY, ACCOUNT, ACCOUNT, ACCOUNT])] {
        let asking = Asking::of(&server.url).await;
        asking.add(ACCOUNT, "twilio", None, &["token"]).await;
        let before = asking.sources.of("acme", "twilio", ACCOUNT).await.unwrap().unwrap();
        asking.set_access(ACCOUNT, None, Some(KEY)).await;
        let source = asking.sources.of("acme", "twilio", ACCOUNT).await.unwrap().unwrap();
        assert_ne!(source.fingerprint(), before.fingerprint());
        source.live().await.unwrap();
        let mut asked = users(&server.seen());
        asked.dedup_by(|a, b| a == b && expected.len() == 1);
        assert_eq!(asked, expected, "what is taken stays the first");
        assert!(!format!("{:?}", asking.directory.account(ACCOUNT).await).contains("hush"));
    }
    let nobody = twilio("nobody").await;
    let asking = Asking::of(&nobody.url).await;
    asking.add(ACCOUNT, "twilio", None, &["one", "two"]).await;
    asking.set_access(ACCOUNT, None, Some(KEY)).await;
    let source = asking.sources.of("acme", "twilio", ACCOUNT).await.unwrap().unwrap();
    assert_eq!(source.live().await.unwrap_err().kind, TroubleKind::Refused);
    assert_eq!(users(&nobody.seen()), [KEY, ACCOUNT, ACCOUNT], "each was tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_asked_in_its_region_and_a_sub_account_in_its_parents() {
    let (us, ie) = (twilio("AC").await, twilio("AC").await);
    let asking = Asking::of(&us.url).await;
    asking.add(ACCOUNT, "twilio", None, &["token"]).await;
    asking.add(SUB, "twilio", Some(ACCOUNT), &[]).await;
    let of = async |account: &str| asking.sources.of("acme", "twilio", account).await.unwrap().unwrap();
    let before = of(ACCOUNT).await;
    assert_eq!(before.base(), us.url);
    asking.set_access(ACCOUNT, Some(&ie.url), None).await;
    let after = of(ACCOUNT).await;
    assert_eq!((after.base(), after.fingerprint()), (ie.url.as_str(), before.fingerprint()));
    assert!(Arc::ptr_eq(&after, &of(ACCOUNT).await));
    after.live().await.unwrap();
    of(SUB).await.live().await.unwrap();
    assert_eq!((us.seen().len(), ie.seen().len()), (0, 6));
    assert!(ie.seen()[5].target.contains(SUB));
    asking.set_access(SUB, Some(&us.url), None).await;
    assert_eq!(of(SUB).await.base(), us.url, "its own place goes before its parent's");
}

/// What is sealed for one key of one account opens nowhere else: not as a token, not beside another sid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_opens_only_where_it_was_put() {
    let asking = Asking::of("http://127.0.0.1:1").await;
    asking.add(ACCOUNT, "twilio", None, &[]).await;
    asking.add(SUB, "twilio", None, &[]).await;
    asking.set_access(ACCOUNT, None, Some(KEY)).await;
    let all = accounts::list_all(&asking.at.db, ("", ""), 9).await.unwrap();
    let mut access = accounts::Access {
        api_base: None,
        api_key: Some(KEY.into()),
        api_secret: all[0].api_secret.clone(),
        api_seal_key: all[0].api_seal_key.clone(),
    };
    let keys = async |account: &str| asking.directory.account(account).await.unwrap().unwrap().api_keys.len();
    assert_eq!(keys(ACCOUNT).await, 1);
    let mut tx = asking.at.db.begin().await.unwrap();
    accounts::set_access(&mut tx, "acme", SUB, &access).await.unwrap();
    access.api_key = Some("SK000000000000000000000000000000cc".into());
    accounts::set_access(&mut tx, "acme", ACCOUNT, &access).await.unwrap();
    let row = accounts::SecretRow {
        account: ACCOUNT.into(),
        id: "moved".into(),
        sealed: access.api_secret.clone().unwrap(),
        seal_key: access.api_seal_key.clone().unwrap(),
        created_ms: START_MS,
        expires_ms: None,
    };
    accounts::insert_secret(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    asking.clock.advance(2 * MINUTE);
    assert_eq!((keys(ACCOUNT).await, keys(SUB).await), (0, 0));
    assert!(asking.directory.account(ACCOUNT).await.unwrap().unwrap().tokens.is_empty());
    let locked = asking.sources.of("acme", "twilio", ACCOUNT).await.expect_err("there is nothing to ask with");
    assert_eq!(locked.kind, TroubleKind::Refused, "but there was: nothing is decided without it");
}
