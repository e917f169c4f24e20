//! Builds everything, wires it, runs it, drains it.

mod allocator;
mod manager;
mod reload;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustix::fs::Mode as FileMode;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::config::{Config, Loaded, LogConfig, LogFormat, Mode};
use crate::http::{self, ControlSocket, HealthPort, Pages, Phase, Phases};
use crate::inbound::{HostAddresses, HostLookup, Inbound, InboundSetupError, LookupError};
use crate::mail::Domain;
use crate::observe::{Events, LogSetupError, ProcessEvent, start_log, wall_clock};
use crate::outbound::{self, Dns, Found, Outbound, OutboundSetupError, Ways};
use crate::queue::{Queue, Stop};
use crate::store::{CommitError, OpenError, Store, StoreOptions};

use reload::{Reloader, Rooms};

/// Threads for work that waits for the disk. Four are as good as sixteen for writing bodies;
/// readers need some beside them.
const BLOCKING_THREADS_MAX: usize = 16;
/// How long what was aborted may take to let go.
const ABORTED: Duration = Duration::from_secs(5);
/// How long the last QUITs may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the relay did not run, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogSetupError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The way out.
    #[error(transparent)]
    Outbound(#[from] OutboundSetupError),
    /// The way in.
    #[error(transparent)]
    Inbound(#[from] InboundSetupError),
    /// The system gave no threads or signals.
    #[error("the system refused threads or signals: {0}")]
    System(#[from] io::Error),
    /// The store could not mark a clean stop.
    #[error(
        "the store did not close cleanly: {0}; the next start checks the queue, nothing acknowledged is lost"
    )]
    Close(CommitError),
}

/// Runs the relay until SIGTERM or SIGINT, then drains it.
pub fn run(loaded: &Loaded) -> Result<(), ServiceError> {
    let ran = run_untold(loaded);
    if let Err(error) = &ran {
        manager::failed(&error.to_string());
    }
    ran
}

fn run_untold(loaded: &Loaded) -> Result<(), ServiceError> {
    let Loaded {
        config, warnings, ..
    } = loaded;
    allocator::bound_heaps();
    rustix::process::umask(FileMode::RWXG | FileMode::RWXO);
    let (log, _written) = start_log(&config.log)?;
    let events = Events::new(log);
    for warning in warnings {
        events.emit(ProcessEvent::Warning {
            what: &warning.what,
            todo: &warning.todo,
        });
    }
    let store = open_store(config, &events)?;
    let runtime = runtime()?;
    let result = runtime.block_on(serve(loaded, &store, &events));
    // What was aborted lets go of its sockets and files before the store is closed.
    let closed = runtime.block_on(store.close()).map_err(ServiceError::Close);
    runtime.shutdown_timeout(Duration::from_secs(1));
    events.emit(ProcessEvent::Stopped {
        clean: closed.is_ok(),
    });
    result.and(closed)
}

fn open_store(config: &Config, events: &Events) -> Result<Store, OpenError> {
    Store::open(StoreOptions {
        path: config.queue.path.clone(),
        destination_of: Arc::new(outbound::destination_of(&config.delivery)),
        routing_fingerprint: outbound::routing_fingerprint(&config.delivery),
        min_free_space: config.queue.min_free_space,
        events: events.clone(),
        now: wall_clock(),
    })
}

/// Half as many threads as CPUs: the committer, the blocking threads and sled want theirs, and one
/// was as good as two on two CPUs.
fn runtime() -> io::Result<Runtime> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cpus.div_ceil(2))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("relay")
        .enable_all()
        .build()
}

/// Asks `admin` something without a running relay: on a store that is opened for that, if there is a
/// queue already, and closed again. Nothing is delivered meanwhile.
pub fn ask_offline<T, F: Future<Output = T>>(
    config: &Config,
    question: impl FnOnce(Admin) -> F,
) -> Result<T, ServiceError> {
    rustix::process::umask(FileMode::RWXG | FileMode::RWXO);
    let (log, _written) = start_log(&LogConfig {
        filter: "warn".to_owned(),
        format: LogFormat::Text,
    })?;
    let events = Events::new(log);
    let store = match config.queue.path.join("db").exists() {
        true => Some(open_store(config, &events)?),
        false => None,
    };
    let runtime = runtime()?;
    let answer: Result<T, OutboundSetupError> = runtime.block_on(async {
        let ways = Ways::new(config, Dns::new(&config.delivery)?, events.clone())?;
        let admin = Admin::new(config, store.clone(), ways, events);
        let answer = question(admin.clone()).await;
        admin.finish().await;
        Ok(answer)
    });
    let closed = store.map_or(Ok(()), |store| runtime.block_on(store.close()));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let answer = answer?;
    closed.map_err(ServiceError::Close)?;
    Ok(answer)
}

async fn serve(loaded: &Loaded, store: &Store, events: &Events) -> Result<(), ServiceError> {
    let config = &loaded.config;
    let mut signals = Signals::new()?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let outbound = Outbound::new(config, store.clone(), events.clone())?;
    let lookup = ForwardLookup(outbound.dns());
    let inbound = Inbound::bind(config, store.clone(), events.clone(), lookup)?;
    let deliver = Arc::new(outbound.clone());
    let queue = Queue::new(config, store.clone(), deliver, events.clone());
    let operator = queue.operator();
    // Not before: whatever could stop the start has been passed.
    events.emit(ProcessEvent::Started {
        version: env!("CARGO_PKG_VERSION"),
        hostname: config.hostname.as_str(),
        mode: mode_name(config.mode),
    });

    let ways =
        Ways::new(config, outbound.dns(), events.clone()).map_err(OutboundSetupError::from)?;
    let (set_grace, shutdown_grace) = watch::channel(config.smtpd.shutdown_grace);
    let rooms = Rooms {
        outbound: outbound.clone(),
        inbound: inbound.control(),
        queue: queue.control(),
        ways: ways.clone(),
        store: store.clone(),
        events: events.clone(),
        shutdown_grace: set_grace,
    };
    let (reloader, reloads) = Reloader::new(rooms, loaded.clone());
    let reloader = tokio::spawn(reloader.run());
    let watched = manager::Watched {
        store: store.clone(),
        queue: queue.control(),
        events: events.clone(),
    };

    let (stop, accepting) = (Stop::default(), CancellationToken::new());
    let mut inbound = tokio::spawn(inbound.serve(accepting.clone()));
    let mut queue = tokio::spawn(queue.run(stop.clone()));

    events.set_verbose(config.debug);
    let admin = Admin::new(config, Some(store.clone()), ways, events.clone())
        .with_operator(operator)
        .with_reload(reloads.action())
        .with_audit(events.verbose_switch());
    let (phases, over) = (Phases::default(), CancellationToken::new());
    let router = http::pages_router(
        Pages {
            store: store.clone(),
            events: events.clone(),
            phases: phases.clone(),
            debug: config.debug,
            allow_networks: config.health_allow_networks.clone(),
            shutdown: over.clone(),
        },
        http::api_router(admin.clone()),
    );
    let doors = Doors::open(config, router, events, &over).await;
    phases.begin(Phase::Serving);
    manager::ready();
    let watched = tokio::spawn(watched.run());

    let ended = loop {
        tokio::select! {
            signal = signals.next() => break Ended::Signal(signal),
            _ = hang_up.recv() => reloads.ask("SIGHUP"),
            _ = &mut inbound => break Ended::Task("inbound"),
            _ = &mut queue => break Ended::Task("queue"),
        }
    };
    let why = match ended {
        Ended::Signal(name) => name,
        // Only a panic ends them before they are told to; crashing is our recovery path.
        Ended::Task(name) => {
            events.emit(ProcessEvent::Alarm {
                what: &format!(
                    "{name} ended by itself; the process ends, nothing acknowledged is lost"
                ),
                todo: "let systemd start it again, and report the lines above",
            });
            std::process::abort();
        }
    };
    phases.begin(Phase::Draining);
    events.emit(ProcessEvent::Stopping { why });
    watched.abort();
    reloader.abort();
    let grace = *shutdown_grace.borrow();
    manager::stopping(why, grace);
    accepting.cancel();
    stop.claiming.cancel();
    drain(
        grace,
        &stop,
        [&mut inbound, &mut queue],
        &mut signals,
        events,
    )
    .await;
    over.cancel();
    doors.closed().await;
    // Orders end with whoever gave them; a page that is under way is done soon.
    let _ = tokio::time::timeout(LAST_WORDS, admin.finish()).await;
    outbound.close(LAST_WORDS).await;
    Ok(())
}

/// Where HTTP is answered: the control socket and the health port, as far as they could be bound.
struct Doors(Vec<JoinHandle<()>>);

impl Doors {
    /// Binds them, and serves `router` there until `over`.
    async fn open(
        config: &Config,
        router: Router,
        events: &Events,
        over: &CancellationToken,
    ) -> Doors {
        let mut serving = Vec::new();
        if let Some(socket) = ControlSocket::bind(config.control_socket.clone(), events).await {
            serving.push(tokio::spawn(socket.serve(router.clone(), over.clone())));
        }
        if let Some(address) = config.health
            && let Some(port) = HealthPort::bind(address, events).await
        {
            serving.push(tokio::spawn(port.serve(router, over.clone())));
        }
        Doors(serving)
    }

    /// Waits until they are closed, which they are soon after `over`.
    async fn closed(self) {
        for door in self.0 {
            let _ = tokio::time::timeout(LAST_WORDS, door).await;
        }
    }
}

/// Lets sessions and deliveries end, until the grace is over or another signal comes; then ends them.
async fn drain(
    grace: Duration,
    stop: &Stop,
    [inbound, queue]: [&mut JoinHandle<()>; 2],
    signals: &mut Signals,
    events: &Events,
) {
    let drained = async {
        let _ = tokio::join!(&mut *inbound, &mut *queue);
    };
    tokio::select! {
        () = drained => {}
        () = tokio::time::sleep(grace) => {}
        why = signals.next() => events.emit(ProcessEvent::Stopping { why }),
    }
    stop.attempts.cancel();
    inbound.abort();
    for (name, task) in [("sessions", inbound), ("deliveries", queue)] {
        if !task.is_finished() && tokio::time::timeout(ABORTED, task).await.is_err() {
            events.emit(ProcessEvent::StillWaiting {
                what: name,
                count: 1,
            });
        }
    }
}

enum Ended {
    Signal(&'static str),
    Task(&'static str),
}

/// The two signals that end the relay.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// The name of the next one. Cancel-safe.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// The allow-list's names, looked up by the same name servers as everything else.
struct ForwardLookup(Dns);

impl HostLookup for ForwardLookup {
    async fn addresses(&self, name: &Domain) -> Result<HostAddresses, LookupError> {
        let (found, ttl) = self.0.addresses(name).await;
        match found {
            Found::Records(addresses) => Ok(HostAddresses { addresses, ttl }),
            Found::NoData => Ok(HostAddresses {
                addresses: Vec::new(),
                ttl,
            }),
            Found::NxDomain => Err(LookupError::NoSuchName),
            Found::Temporary(_) => Err(LookupError::Temporary),
        }
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Deliver => "deliver",
        Mode::Hold => "hold",
        Mode::Sink => "sink",
    }
}
