//! Leads: what the user wrote, and how it is read with the contacts.

use super::commit;
use crate::support::database::{TestDatabase, on_both};
use onhook::{
    domain::lead::{Contacts, STATUS_CONTACTED, STATUS_NEW, Written},
    store::{
        StoreError,
        contacts::{self, ContactRow},
        leads::{self, LeadFilter, LeadRead, LeadRow, LeadWrite, NumberKey, Put},
    },
};

on_both! {
    a_lead_is_created_once,
    a_put_replaces_and_counts_as_written,
    a_put_without_a_status_leaves_it,
    an_import_adds_and_never_erases,
    a_deleted_lead_keeps_its_contacts,
    the_status_is_filtered_as_it_is_read,
    leads_come_in_pages,
    leads_are_found_by_number,
}

fn lead(id: &str) -> LeadRow {
    LeadRow {
        tenant: "acme".into(),
        id: id.into(),
        name: Some("Ann O'Hara".into()),
        phone: Some("(415) 555-0132".into()),
        phone_e164: Some("+14155550132".into()),
        status: STATUS_NEW.into(),
        status_written_ms: None,
        last_contacted_ms: None,
        created_ms: 10,
        updated_ms: 10,
        forgotten_ms: None,
    }
}

fn write(id: &str, now_ms: i64) -> LeadWrite {
    LeadWrite {
        tenant: "acme".into(),
        id: id.into(),
        name: None,
        phone: None,
        phone_e164: None,
        status: None,
        last_contacted_ms: None,
        now_ms,
    }
}

fn contact(lead_id: &str, conversation: &str, contacted_ms: i64, active: bool) -> ContactRow {
    ContactRow {
        tenant: "acme".into(),
        conversation: conversation.into(),
        account: "AC1".into(),
        lead_id: lead_id.into(),
        call_id: "call_1".into(),
        contacted_ms,
        active,
        flips: 1,
    }
}

async fn load(at: &TestDatabase, id: &str) -> LeadRead {
    leads::find(&at.db, "acme", id).await.unwrap().unwrap()
}

async fn a_lead_is_created_once(at: TestDatabase) {
    commit!(at, |tx| leads::insert(tx, &lead("a'b\"\n")));
    assert_eq!(load(&at, "a'b\"\n").await.row, lead("a'b\"\n"));
    assert_eq!(leads::find(&at.db, "other", "a'b\"\n").await.unwrap(), None);
    let mut tx = at.db.begin().await.unwrap();
    let error = leads::insert(&mut tx, &lead("a'b\"\n")).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists(_)), "{error:?}");
}

async fn a_put_replaces_and_counts_as_written(at: TestDatabase) {
    let put = |now_ms, status: &str| LeadWrite {
        name: Some("Bob".into()),
        status: Some(status.into()),
        ..write("a", now_ms)
    };
    assert_eq!(commit!(at, |tx| leads::put(tx, &put(10, "won"))), Put::Created);
    let created = load(&at, "a").await.row;
    assert_eq!((created.status.as_str(), created.status_written_ms), ("won", None), "creation is no explicit write");
    assert_eq!((created.created_ms, created.updated_ms), (10, 10));

    let full = LeadWrite { phone: Some("x".into()), last_contacted_ms: Some(7), ..put(20, "lost") };
    assert_eq!(commit!(at, |tx| leads::put(tx, &full)), Put::Updated);
    assert_eq!(commit!(at, |tx| leads::put(tx, &put(30, "new"))), Put::Updated);
    let expected = LeadRow {
        name: Some("Bob".into()),
        phone: None,
        phone_e164: None,
        status_written_ms: Some(30),
        updated_ms: 30,
        ..lead("a")
    };
    assert_eq!(load(&at, "a").await.row, expected);
}

async fn a_put_without_a_status_leaves_it(at: TestDatabase) {
    commit!(at, |tx| leads::put(tx, &write("a", 10)));
    assert_eq!(load(&at, "a").await.row.status, STATUS_NEW);
    commit!(at, |tx| leads::put(tx, &LeadWrite { status: Some("won".into()), ..write("a", 20) }));
    commit!(at, |tx| leads::put(tx, &write("a", 30)));
    let row = load(&at, "a").await.row;
    assert_eq!((row.status.as_str(), row.status_written_ms, row.updated_ms), ("won", Some(20), 30));
}

async fn an_import_adds_and_never_erases(at: TestDatabase) {
    commit!(at, |tx| leads::insert(tx, &lead("known")));
    commit!(at, |tx| leads::put(tx, &LeadWrite { status: Some("won".into()), ..write("written", 10) }));
    commit!(at, |tx| leads::put(tx, &LeadWrite { status: Some("won".into()), ..write("written", 11) }));
    let rows = [
        LeadWrite { name: Some("New".into()), status: Some("hot".into()), ..write("created", 50) },
        LeadWrite { last_contacted_ms: Some(40), ..write("known", 50) },
        LeadWrite { status: Some("lost".into()), phone: Some("n/a".into()), ..write("written", 50) },
        write("plain", 50),
    ];
    let answers = commit!(at, |tx| leads::import(tx, &rows));
    assert_eq!(answers, [Put::Created, Put::Updated, Put::Updated, Put::Created]);

    let created = load(&at, "created").await.row;
    assert_eq!((created.status.as_str(), created.status_written_ms, created.created_ms), ("hot", None, 50));
    assert_eq!(load(&at, "plain").await.row.status, STATUS_NEW);
    let known = load(&at, "known").await.row;
    assert_eq!(known, LeadRow { last_contacted_ms: Some(40), updated_ms: 50, ..lead("known") });
    let written = load(&at, "written").await.row;
    assert_eq!(
        (written.status.as_str(), written.status_written_ms),
        ("lost", Some(11)),
        "an import is no explicit write"
    );
    assert_eq!((written.phone.as_deref(), written.phone_e164), (Some("n/a"), None), "the two forms go together");

    assert_eq!(commit!(at, |tx| leads::import(tx, &rows)), [Put::Updated; 4]);
    assert_eq!(commit!(at, |tx| leads::import(tx, &[])), []);
}

async fn a_deleted_lead_keeps_its_contacts(at: TestDatabase) {
    commit!(at, |tx| leads::insert(tx, &lead("a")));
    commit!(at, |tx| contacts::upsert(tx, &[contact("a", "CA1", 20, true)]));
    assert_eq!(commit!(at, |tx| leads::delete(tx, "other", "a")), 0);
    assert_eq!(commit!(at, |tx| leads::delete(tx, "acme", "a")), 1);
    assert_eq!(commit!(at, |tx| leads::delete(tx, "acme", "a")), 0);
    assert_eq!(leads::find(&at.db, "acme", "a").await.unwrap(), None);

    commit!(at, |tx| leads::insert(tx, &lead("a")));
    assert_eq!(load(&at, "a").await.contact_count, 1, "a contact may be older than its lead");
}

/// The filter is SQL and the reading is Rust: every combination must agree, or a list shows what its filter excludes.
async fn the_status_is_filtered_as_it_is_read(at: TestDatabase) {
    let mut expected: Vec<(String, String)> = Vec::new();
    for status in [STATUS_NEW, "won", STATUS_CONTACTED] {
        for written in [None, Some(0), Some(20), Some(30)] {
            for contacted in [None, Some(0), Some(20), Some(21)] {
                let id = format!("{status}-{written:?}-{contacted:?}");
                let row = LeadRow { status: status.into(), status_written_ms: written, ..lead(&id) };
                commit!(at, |tx| leads::insert(tx, &row));
                // An inactive one later than all is none; of two active ones the later counts.
                let mut rows = vec![contact(&id, &format!("{id}-off"), 99, false)];
                let mut count = 0;
                if let Some(at_ms) = contacted {
                    rows.push(contact(&id, &format!("{id}-1"), at_ms, true));
                    rows.push(contact(&id, &format!("{id}-2"), at_ms.min(5), true));
                    count = 2;
                }
                commit!(at, |tx| contacts::upsert(tx, &rows));
                let contacts = Contacts { count, last_ms: contacted };
                let row = Written { status: status.into(), status_written_ms: written, last_contacted_ms: None };
                let read = row.status(&contacts).to_owned();
                let found = load(&at, &id).await;
                assert_eq!((found.status(), found.contact_count), (read.clone(), count), "{id}");
                assert_eq!(found.last_contacted_ms(), contacted, "{id}");
                expected.push((id, read));
            }
        }
    }
    expected.sort();
    for status in [STATUS_NEW, "won", STATUS_CONTACTED, "lost"] {
        let filter = LeadFilter { status: Some(status.into()), ..LeadFilter::default() };
        let listed = leads::list(&at.db, "acme", &filter, "", 99).await.unwrap();
        let listed: Vec<&str> = listed.iter().map(|lead| lead.row.id.as_str()).collect();
        let wanted: Vec<&str> = expected.iter().filter(|(_, read)| read == status).map(|(id, _)| id.as_str()).collect();
        assert_eq!(listed, wanted, "{status}");
    }
    assert!(expected.iter().filter(|(id, read)| id.starts_with("new") && read == STATUS_CONTACTED).count() > 3);
}

async fn leads_come_in_pages(at: TestDatabase) {
    for id in ["c", "a", "B", "d"] {
        commit!(at, |tx| leads::insert(tx, &lead(id)));
    }
    commit!(at, |tx| leads::insert(tx, &LeadRow { tenant: "other".into(), ..lead("b") }));
    let all = LeadFilter::default();
    let ids = |page: Vec<LeadRead>| page.into_iter().map(|lead| lead.row.id).collect::<Vec<_>>();
    assert_eq!(ids(leads::list(&at.db, "acme", &all, "", 3).await.unwrap()), ["B", "a", "c"]);
    assert_eq!(ids(leads::list(&at.db, "acme", &all, "c", 3).await.unwrap()), ["d"]);
    assert_eq!(ids(leads::list(&at.db, "other", &all, "", 3).await.unwrap()), ["b"]);
}

async fn leads_are_found_by_number(at: TestDatabase) {
    let with = |id: &str, number: Option<&str>, created_ms| LeadRow {
        phone_e164: number.map(str::to_owned),
        created_ms,
        ..lead(id)
    };
    let (one, two) = (Some("+14155550101"), Some("+14155550102"));
    for row in [with("young", one, 9), with("old", one, 3), with("none", None, 1), with("two", two, 5)] {
        commit!(at, |tx| leads::insert(tx, &row));
    }
    commit!(at, |tx| leads::insert(tx, &LeadRow { tenant: "other".into(), ..with("theirs", one, 1) }));

    let filter =
        |status: Option<&str>| LeadFilter { status: status.map(str::to_owned), phone_e164: one.map(str::to_owned) };
    let ids = |page: Vec<LeadRead>| page.into_iter().map(|lead| lead.row.id).collect::<Vec<_>>();
    assert_eq!(ids(leads::list(&at.db, "acme", &filter(None), "", 9).await.unwrap()), ["old", "young"]);
    assert_eq!(ids(leads::list(&at.db, "acme", &filter(None), "old", 9).await.unwrap()), ["young"]);
    assert_eq!(ids(leads::list(&at.db, "acme", &filter(Some("new")), "", 1).await.unwrap()), ["old"]);
    assert_eq!(ids(leads::list(&at.db, "acme", &filter(Some("won")), "", 9).await.unwrap()), [""; 0]);

    let numbers: Vec<NumberKey> = [one, two, Some("+14155550103")]
        .iter()
        .map(|number| NumberKey { tenant: "acme".into(), phone_e164: number.unwrap().into() })
        .collect();
    let owners = commit!(at, |tx| leads::list_by_number(tx, &numbers));
    let owners: Vec<(&str, &str)> = owners.iter().map(|(_, number, id)| (number.as_str(), id.as_str())).collect();
    let first = |number: Option<&str>| owners.iter().find(|(n, _)| Some(*n) == number).map(|(_, id)| *id);
    assert_eq!(first(one), Some("old"), "the oldest has it");
    assert_eq!(first(two), Some("two"));
    assert_eq!(owners.len(), 2);
}
