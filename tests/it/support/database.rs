//! A database of its own for each test: SQLite in a temporary folder, PostgreSQL as a new database on the server of the
//! test run. Gone with the value, also when the test fails.

use onhook::store::{self, Db, OpenError};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, query_scalar};
use std::{
    env,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::timeout;
use url::Url;

/// Makes of each async function that takes a [`TestDatabase`] two tests: `name::sqlite` and `name::postgres`.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name($crate::support::database::TestDatabase::sqlite().await).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                super::$name($crate::support::database::TestDatabase::postgres().await).await;
            }
        }
    )+};
}
pub(crate) use on_both;

/// An empty database, migrated and open.
pub struct TestDatabase {
    pub db: Db,
    pub place: Place,
}

impl TestDatabase {
    pub async fn sqlite() -> Self {
        Self::at(Place::sqlite()).await
    }

    pub async fn postgres() -> Self {
        Self::at(Place::postgres().await).await
    }

    async fn at(place: Place) -> Self {
        let db = place.open().await.unwrap();
        store::migrate(&db).await.unwrap();
        Self { db, place }
    }

    /// What another node is: the same database through connections of its own.
    pub async fn another_node(&self) -> Db {
        self.place.open().await.unwrap()
    }
}

/// Where a database can be: nothing has been opened or migrated yet.
pub struct Place {
    pub url: String,
    kept: Kept,
}

enum Kept {
    Folder(TempDir),
    Server { url: Url, name: String },
}

impl Place {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { url: format!("sqlite://{}", folder.path().join("onhook.db").display()), kept: Kept::Folder(folder) }
    }

    pub async fn postgres() -> Self {
        let server = server();
        let name = format!("onhook_test_{}_{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        on_server(
            &server,
            &[format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), format!("CREATE DATABASE {name}")],
        )
        .await;
        let mut url = server.clone();
        url.set_path(&name);
        Self { url: url.into(), kept: Kept::Server { url: server, name } }
    }

    /// Opens what is there; migrates nothing.
    pub async fn open(&self) -> Result<Db, OpenError> {
        match &self.kept {
            Kept::Folder(_) => store::open_sqlite(&self.file()).await,
            Kept::Server { .. } => store::open_postgres(&self.url).await,
        }
    }

    /// The file of an SQLite database.
    pub fn file(&self) -> PathBuf {
        match &self.kept {
            Kept::Folder(folder) => folder.path().join("onhook.db"),
            Kept::Server { .. } => panic!("a database of a server has no file"),
        }
    }

    /// Returns when this many transactions wait for a lock.
    pub async fn until_waiting(&self, count: i64) {
        let mut connection = self.postgres_connection().await;
        let waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted
                          AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())";
        let until = async {
            while query_scalar::<_, i64>(waiting).fetch_one(&mut connection).await.unwrap() < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, until).await.expect("nobody waits for a lock");
    }

    /// What a server that went away looks like: nobody gets in, and whoever was in is thrown out.
    pub async fn refuse_connections(&self, refuse: bool) {
        let Kept::Server { url, name } = &self.kept else { panic!("a file does not go away") };
        on_server(
            url,
            &[
                format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {}", !refuse),
                format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND {refuse}"),
            ],
        )
        .await;
    }

    /// A connection that goes around the store.
    pub async fn postgres_connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Kept::Server { url, name } = &self.kept else { return };
        // A thread of its own: the test may be unwinding, and its runtime cannot be waited on from here.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(on_server(url, &[format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")]));
            });
        });
    }
}

async fn on_server(server: &Url, statements: &[String]) {
    let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
    for statement in statements {
        connection.execute(AssertSqlSafe(statement.as_str())).await.unwrap();
    }
    connection.close().await.unwrap();
}

fn server() -> Url {
    let url = env::var("ONHOOK_TEST_POSTGRES_URL").expect(
        "there is no PostgreSQL to test on (ONHOOK_TEST_POSTGRES_URL is not set): run scripts/test, which starts one",
    );
    url.parse().expect("ONHOOK_TEST_POSTGRES_URL is a URL")
}

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);
static MADE: AtomicU64 = AtomicU64::new(0);
