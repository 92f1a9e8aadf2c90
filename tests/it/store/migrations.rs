//! Opening and migrating: on what is there, on what is not, and by several nodes at once.

use crate::support::database::{Place, TestDatabase, on_both};
use onhook::store::{self, Db, OpenError, tenants};
use std::{fs, path::Path, process::Command, sync::Arc};

on_both! { migrating_again_changes_nothing, a_new_database_is_unmigrated }

async fn migrating_again_changes_nothing(at: TestDatabase) {
    let mut tx = at.db.begin().await.unwrap();
    tenants::ensure_default(&mut tx, 1).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store::unmigrated(&at.db).await.unwrap(), NONE);
    store::migrate(&at.db).await.unwrap();
    assert_eq!(store::unmigrated(&at.db).await.unwrap(), NONE);
    assert!(tenants::find(&at.db, "default").await.unwrap().is_some());
    at.db.close().await;
}

async fn a_new_database_is_unmigrated(at: TestDatabase) {
    let place = match at.db.kind() {
        "sqlite" => Place::sqlite(),
        _ => Place::postgres().await,
    };
    let db = place.open().await.unwrap();
    assert_eq!(store::unmigrated(&db).await.unwrap(), in_the_folder());
    let error = store::probe(&db).await.unwrap_err();
    assert!(error.to_string().contains("run `onhook migrate`"), "{error}");
    store::migrate(&db).await.unwrap();
    store::probe(&db).await.unwrap();
    assert_eq!(store::unmigrated(&db).await.unwrap(), NONE);
    db.close().await;
}

/// The numbers of the migrations there are.
fn in_the_folder() -> Vec<i64> {
    let folder = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut numbers: Vec<i64> = names.map(|name| name.split('_').next().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_may_migrate_a_server_at_once() {
    for _ in 0..5 {
        migrate_at_once(Place::postgres().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_may_migrate_a_file_at_once() {
    for _ in 0..20 {
        migrate_at_once(Place::sqlite()).await;
    }
}

async fn migrate_at_once(place: Place) {
    let place = Arc::new(place);
    let start = || {
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            let db = place.open().await.unwrap();
            store::migrate(&db).await.unwrap();
            assert_eq!(store::unmigrated(&db).await.unwrap(), NONE);
            db.close().await;
        })
    };
    let (one, two) = (start(), start());
    one.await.unwrap();
    two.await.unwrap();
}

fn refused(opened: Result<Db, OpenError>) -> (OpenError, String) {
    let error = opened.unwrap_err();
    let message = error.to_string();
    (error, message)
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let (error, message) = refused(store::open_postgres("postgres://ann:hunter2@127.0.0.1:1/calls").await);
    assert!(matches!(error, OpenError::Unreachable { .. }), "{message}");
    assert!(message.starts_with("open PostgreSQL database \"calls\" at 127.0.0.1:1: "), "{message}");
    assert!(!format!("{error:?} {message}").contains("hunter2"), "{message}");
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_named() {
    let at = TestDatabase::postgres().await;
    let mut url: url::Url = at.place.url.parse().unwrap();
    url.set_path("nobody_made_this");
    let (_, message) = refused(store::open_postgres(url.as_str()).await);
    assert!(message.contains("database \"nobody_made_this\" does not exist"), "{message}");
}

#[tokio::test]
async fn what_is_no_url_is_refused_as_such() {
    for url in ["onhook.db", ""] {
        let (error, message) = refused(store::open_postgres(url).await);
        assert!(matches!(error, OpenError::Url(_)), "{url}: {message}");
        assert!(message.starts_with("read the database URL: "), "{message}");
    }
}

#[tokio::test]
async fn a_file_in_no_folder_and_a_folder_are_refused_by_name() {
    let place = Place::sqlite();
    let folder = place.file().parent().unwrap().to_owned();
    for path in [folder.join("missing/onhook.db"), folder.clone()] {
        let (error, message) = refused(store::open_sqlite(&path).await);
        assert!(matches!(error, OpenError::Unreachable { .. }), "{message}");
        assert!(message.starts_with(&format!("open the file {}: ", path.display())), "{message}");
        assert!(message.contains("unable to open database file"), "{message}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let place = Place::sqlite();
    let garbage = b"these are the minutes of the meeting of last week".repeat(100);
    std::fs::write(place.file(), &garbage).unwrap();
    let (error, message) = refused(place.open().await);
    assert!(matches!(error, OpenError::Unreachable { .. }), "{message}");
    assert!(message.contains("file is not a database"), "{message}");
    assert_eq!(std::fs::read(place.file()).unwrap(), garbage);
}

/// SQLite opens such a file without a word; a gateway that started on it would refuse every webhook.
#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_written_is_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::sqlite();
    let folder = place.file().parent().unwrap().to_owned();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

    allow(&folder, 0o777);
    let (code, output) = migrate_as_nobody(&place.url, &folder);
    assert_eq!(code, Some(0), "{output}");
    allow(&place.file(), 0o444);
    let (code, output) = migrate_as_nobody(&place.url, &folder);
    assert_eq!(code, Some(6), "{output}");
    assert!(output.contains("write to the database") && output.contains("readonly"), "{output}");
}

/// Runs `onhook migrate` as somebody whom permissions bind: root writes everywhere.
#[cfg(unix)]
fn migrate_as_nobody(url: &str, folder: &Path) -> (Option<i32>, String) {
    use std::os::unix::fs::MetadataExt;
    // Nobody may not be let into the folder that the binary was built in.
    let binary = folder.join("onhook");
    if !binary.exists() {
        fs::copy(env!("CARGO_BIN_EXE_onhook"), &binary).unwrap();
    }
    let mut command = if folder.metadata().unwrap().uid() == 0 {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&binary);
        command
    } else {
        Command::new(&binary)
    };
    let output = command.arg("migrate").current_dir(folder).env("ONHOOK_DATABASE_URL", url).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

const NONE: [i64; 0] = [];
