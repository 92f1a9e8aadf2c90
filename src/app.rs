//! The fuse box: builds everything from a configuration, runs it, stops it.
//!
//! Stopping is soft first: `/readyz` says so, no connection is accepted any more, what is under way is answered, what
//! waits for the writer is written. What has not ended by the deadline is cut off; nothing unacknowledged is lost by
//! that, because nothing of it was acknowledged.

mod background;
mod desk;
mod dialing;
mod listening;
mod sweeping;

pub use desk::{desk, desk_without_accounts};
pub use dialing::{dialing, exchange};
pub use listening::pbxs;
pub use sweeping::sweeper;

use background::Background;

use crate::{
    ami,
    clock::SharedClock,
    config::{AmiUrl, Config, ConfigError, DatabaseUrl},
    directory::{Account, ApiKey, Directory, NewKey, Overlays, Scope, issue_key},
    domain::id::DEFAULT_TENANT,
    http::{self, Gateway},
    ingest::{Ingest, Parts, Rules},
    quarantine::{self, Quarantine},
    seal::{SealError, Sealer},
    store::{self, Db, OpenError, StoreError, keys, tenants},
    telemetry::Metrics,
    twilio::client::ClientError,
};
use actix_web::{App as Web, HttpServer, dev::Server, middleware::from_fn, web, web::Data};
use rand::{SeedableRng, rngs::StdRng};
use secrecy::{ExposeSecret, SecretString};
use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Why the gateway cannot start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Something in the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database failed while starting.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key that seals credentials cannot be used.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The address cannot be listened on.
    #[error("listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server broke.
    #[error("serve: {0}")]
    Serve(#[source] std::io::Error),
    /// A part that must run for ever ended.
    #[error("keep {what} running: it ended by itself")]
    Dead {
        /// Which part.
        what: &'static str,
    },
}

impl AppError {
    /// Whether something the gateway depends on is not there: waiting, or mending it, may help.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Store(_) | Self::Listen { .. })
    }
}

/// A gateway that is built and not yet running.
#[derive(Debug)]
pub struct App {
    gateway: Data<Gateway>,
    listener: TcpListener,
    metrics_listener: Option<TcpListener>,
    address: SocketAddr,
    first_key: Option<SecretString>,
    writers: JoinSet<()>,
}

/// What rooms that work by themselves share.
#[derive(Clone, Debug)]
pub struct Fuses {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: SharedClock,
    /// The accounts and their credentials.
    pub directory: Arc<Directory>,
    /// The one door.
    pub ingest: Ingest,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// What a signal leads to, by the configuration.
pub fn rules(config: &Config) -> Rules {
    Rules { limits: config.sweep.limits(), contact: config.contact.policy() }
}

/// Opens the configured database and brings it up to date.
pub async fn open_store(config: &Config) -> Result<Db, OpenError> {
    let db = open_store_as_it_is(config).await?;
    store::migrate(&db).await?;
    Ok(db)
}

/// Opens the configured database and leaves its schema alone.
pub async fn open_store_as_it_is(config: &Config) -> Result<Db, OpenError> {
    match &config.database_url {
        DatabaseUrl::Sqlite { path } => store::open_sqlite(path).await,
        DatabaseUrl::Postgres { url } => store::open_postgres(url.expose_secret()).await,
    }
}

/// The key that seals stored credentials: the configured one, or one beside the SQLite file.
pub fn sealer(config: &Config, rng: &mut StdRng) -> Result<Sealer, SealError> {
    match (&config.secret_key, &config.database_url) {
        (Some(key), _) => Sealer::from_base64(key),
        (None, DatabaseUrl::Sqlite { path }) => Sealer::beside(path, rng),
        // `Config::check_serving` asks for one; without it nothing sealed can be opened.
        (None, DatabaseUrl::Postgres { .. }) => Sealer::from_base64(&SecretString::from("")),
    }
}

/// Who may speak: what is stored, and what is configured.
pub fn directory(config: &Config, db: Db, clock: SharedClock, rng: &mut StdRng) -> Result<Directory, SealError> {
    Ok(Directory::new(db, clock, sealer(config, rng)?, overlays(config)))
}

impl App {
    /// Opens the database, migrates it, makes the first key where there is none, binds the listeners, starts the writer.
    pub async fn build(config: Config, clock: SharedClock, mut rng: StdRng) -> Result<Self, AppError> {
        config.check_serving()?;
        let db = open_store(&config).await?;
        let directory = Arc::new(directory(&config, db.clone(), clock.clone(), &mut rng)?);
        let first_key = first_key(&db, &config, &clock, &mut rng).await?;
        let metrics = Metrics::new();
        let (ingest, mut writer) = Ingest::new(Parts {
            db: db.clone(),
            clock: clock.clone(),
            rng: StdRng::from_rng(&mut rng),
            rules: rules(&config),
            metrics: metrics.clone(),
        });
        let mut writers = JoinSet::new();
        for _ in 1..db.writers() {
            writers.spawn(writer.fork().run());
        }
        writers.spawn(writer.run());
        let (quarantine, keeper) = Quarantine::new(quarantine::Parts {
            db: db.clone(),
            metrics: metrics.clone(),
            bounds: quarantine::bounds(&config.quarantine),
            pause: QUARANTINE_PAUSE,
        });
        writers.spawn(keeper.run());
        let fuses = Fuses {
            db: db.clone(),
            clock: clock.clone(),
            directory: directory.clone(),
            ingest: ingest.clone(),
            metrics: metrics.clone(),
        };
        let desk = desk(&config, db.clone(), clock.clone(), directory.clone(), &mut rng, &metrics);
        let pbxs = pbxs(&config, fuses.clone(), &mut rng);
        let exchange = exchange(&config, fuses.clone(), pbxs.clone(), &mut rng)?;
        let dialing = dialing(&config, fuses.clone(), desk.clone(), exchange, &mut rng);
        let sweeper = sweeper(&config, fuses, pbxs.clone(), &mut rng)?;
        let (listener, address) = listen(config.listen)?;
        let metrics_listener = config.metrics_listen.map(listen).transpose()?.map(|(listener, _)| listener);
        let gateway = Data::new(Gateway {
            config: Arc::new(config),
            clock,
            db,
            ingest,
            quarantine,
            sweeper,
            desk,
            dialing,
            pbxs,
            directory,
            metrics,
            rng: Mutex::new(rng),
            imports: tokio::sync::Semaphore::new(1),
            health: http::DatabaseHealth::default(),
            draining: AtomicBool::new(false),
        });
        Ok(Self { gateway, listener, metrics_listener, address, first_key, writers })
    }

    /// Where it listens; with port 0 the port the system chose.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key that was made because this is the first start. It is shown once and cannot be read again.
    pub const fn first_key(&self) -> Option<&SecretString> {
        self.first_key.as_ref()
    }

    /// What requests work with.
    pub const fn gateway(&self) -> &Data<Gateway> {
        &self.gateway
    }

    /// Runs until `stop` is cancelled or a part dies, then stops softly, and hard after the deadline.
    pub async fn run(self, stop: CancellationToken) -> Result<(), AppError> {
        let Self { gateway, listener, metrics_listener, mut writers, .. } = self;
        let deadline = Duration::from_millis(gateway.config.limits.shutdown_deadline_ms.unsigned_abs());
        let server = serve(listener, gateway.clone(), deadline).map_err(AppError::Serve)?;
        let handle = server.handle();
        let mut server = tokio::spawn(server);
        let metrics =
            metrics_listener.map(|l| serve_metrics(l, gateway.clone())).transpose().map_err(AppError::Serve)?;
        let metrics_handle = metrics.as_ref().map(Server::handle);
        let _metrics = metrics.map(tokio::spawn);
        let mut background = Background::start(&gateway);

        let outcome = tokio::select! {
            () = stop.cancelled() => Ok(()),
            _ = &mut server => Err(AppError::Dead { what: "the HTTP server" }),
            _ = writers.join_next() => Err(AppError::Dead { what: "the writer" }),
            what = background.died() => Err(AppError::Dead { what }),
        };
        tracing::info!(deadline_s = deadline.as_secs(), "stopping: answering what is under way");
        gateway.drain();
        background.cancel();
        let db = gateway.db.clone();
        let soft = async {
            handle.stop(true).await;
            if let Some(metrics) = metrics_handle {
                metrics.stop(false).await;
            }
            // The last door closes with the last `Gateway`; then the writer ends by itself.
            drop(gateway);
            if outcome.is_ok() {
                background.ended().await;
                while writers.join_next().await.is_some() {}
            }
        };
        if tokio::time::timeout(deadline, soft).await.is_err() {
            tracing::warn!("the deadline passed: what was still under way is cut off; none of it was acknowledged");
        }
        writers.abort_all();
        if tokio::time::timeout(CLOSE_WITHIN, db.close()).await.is_err() {
            tracing::warn!("the database did not let go of its connections; they are left to it");
        }
        outcome
    }
}

fn serve(listener: TcpListener, gateway: Data<Gateway>, deadline: Duration) -> std::io::Result<Server> {
    let make = move || Web::new().wrap(from_fn(http::trace)).configure(http::routes(gateway.clone()));
    let server = HttpServer::new(make)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(CLIENT_TIMEOUT)
        .shutdown_timeout(deadline.as_secs())
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

fn serve_metrics(listener: TcpListener, gateway: Data<Gateway>) -> std::io::Result<Server> {
    let make = move || {
        Web::new()
            .app_data(gateway.clone())
            .route("/metrics", web::get().to(http::metrics_only))
            .default_service(web::to(http::only_metrics_here))
    };
    Ok(HttpServer::new(make).workers(1).disable_signals().listen(listener)?.run())
}

/// Listens without blocking; a port that a stopped process left behind can be taken at once.
fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), AppError> {
    let failed = |source| AppError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Accounts and keys of the configuration: they are never stored.
fn overlays(config: &Config) -> Overlays {
    let key = config.twilio.key().map(|(sid, secret)| ApiKey { sid: sid.to_owned(), secret: secret.clone() });
    let accounts = config.twilio.account().map(|(sid, token)| Account {
        id: sid.to_owned(),
        tenant: DEFAULT_TENANT.to_owned(),
        provider: "twilio".to_owned(),
        parent: None,
        has_secrets: true,
        tokens: vec![token.clone().into()],
        api_keys: key.into_iter().collect(),
        api_base: None,
        verify: None,
        verify_until_ms: None,
    });
    Overlays { accounts: accounts.into_iter().chain(pbx_of(config)).collect(), key: config.api_key.clone() }
}

/// The PBX of the configuration.
fn pbx_of(config: &Config) -> Option<Account> {
    let AmiUrl { address, user, secret } = config.ami_url.as_ref()?;
    Some(Account {
        id: config.ami_name.clone(),
        tenant: DEFAULT_TENANT.to_owned(),
        provider: ami::PROVIDER.to_owned(),
        parent: None,
        has_secrets: true,
        tokens: Vec::new(),
        api_keys: vec![ApiKey { sid: user.clone(), secret: secret.clone() }],
        // What an address was read from is written so that it is read again.
        api_base: address.to_string().parse().ok(),
        verify: None,
        verify_until_ms: None,
    })
}

/// Makes the tenant `default`, and a key with every scope where none exists and none is configured.
async fn first_key(
    db: &Db,
    config: &Config,
    clock: &SharedClock,
    rng: &mut StdRng,
) -> Result<Option<SecretString>, StoreError> {
    let now_ms = clock.now_ms();
    let mut tx = db.begin().await?;
    tenants::ensure_default(&mut tx, now_ms).await?;
    let none = keys::list(&mut tx, DEFAULT_TENANT, "", 1).await?.is_empty();
    let first = (none && config.api_key.is_none()).then(|| {
        let scopes = Scope::ALL.iter().copied().collect();
        issue_key(NewKey { tenant: DEFAULT_TENANT.into(), name: "first".into(), scopes, expires_ms: None }, now_ms, rng)
    });
    if let Some(first) = &first {
        keys::insert(&mut tx, &first.row).await?;
    }
    tx.commit().await?;
    Ok(first.map(|first| first.text))
}

/// Between two transactions that keep refused deliveries: whoever makes us refuse must not slow down the rest.
const QUARANTINE_PAUSE: Duration = Duration::from_millis(50);
/// How long closing the database may take after the deadline.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Longer than any proxy keeps an idle connection: whoever closes first races with the other's next request.
const KEEP_ALIVE: Duration = Duration::from_secs(620);
/// How long a client may take to send the head of a request, counted from when a kept connection was opened or idle.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(630);
