//! An address, and the way in behind it.

use std::{
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::{
    StartError,
    reception::{Reception, Welcome},
    workers::{Worker, Workers},
};
use crate::{
    config,
    listener::{Inherited, Limit, Listener, PerClient},
    supervision::{Task, supervised},
    tls::Acceptor,
};

/// An address, and the way in behind it. Clients come in once it is [open](Self::open).
#[derive(Debug)]
pub(super) struct Door {
    config: config::Listener,
    /// One for each worker, or as many as were inherited.
    listeners: Vec<Arc<Listener>>,
    workers: Arc<Workers>,
    /// What whoever comes from now on meets.
    welcome: Arc<ArcSwap<Welcome>>,
    receptions: JoinSet<()>,
}

/// TLS on a listener as configured.
pub(super) fn acceptor(config: &config::Listener) -> Result<Option<Acceptor>, StartError> {
    let acceptor = config.tls.as_ref().map(Acceptor::new);
    Ok(acceptor.transpose()?)
}

impl Door {
    /// Begins to listen, so that clients wait in the system's queue.
    pub(super) fn bind(
        config: &config::Listener,
        welcome: Welcome,
        (total, clients): (&Arc<Limit>, &Arc<PerClient>),
        workers: &Arc<Workers>,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let handles = workers.iter().map(Worker::handle);
        let listeners = Listener::bind(config, total, clients, handles, inherited)?;
        Ok(Self {
            config: config.clone(),
            listeners: listeners.into_iter().map(Arc::new).collect(),
            workers: Arc::clone(workers),
            welcome: Arc::new(ArcSwap::from_pointee(welcome)),
            receptions: JoinSet::new(),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        // There is a worker, so there is a listener.
        self.listeners[0].address()
    }

    /// The limit of connections to it.
    pub(super) fn limit(&self) -> &Arc<Limit> {
        self.listeners[0].limit()
    }

    /// Whether it is the door that `config` asks for, be it with other terms.
    pub(super) fn is_at(&self, config: &config::Listener) -> bool {
        self.config.address == config.address
    }

    /// Says where it is.
    pub(super) fn announce(&self) {
        let scheme = if self.config.tls.is_some() {
            "https"
        } else {
            "http"
        };
        info!("listening on {scheme}://{}", self.address());
    }

    /// Lets clients in.
    pub(super) fn open(&mut self) {
        for reception in self.all_receptions() {
            let worker = self.workers.at(reception.here).handle();
            let receive = move || reception.clone().receive();
            self.receptions
                .spawn_on(supervised(Task::Accepting, receive), worker);
        }
    }

    /// TLS as `config` asks for it now: the same as it is, if that asks for the same.
    pub(super) fn acceptor_after(
        &self,
        config: &config::Listener,
    ) -> Result<Option<Acceptor>, StartError> {
        let before = self.welcome.load();
        match (&before.tls, &config.tls) {
            (Some(before), Some(_)) if self.config.tls == config.tls => Ok(Some(before.clone())),
            (Some(before), Some(tls)) => Ok(Some(Acceptor::after(before, tls)?)),
            _ => acceptor(config),
        }
    }

    /// Has whoever comes from now on meet `welcome`, as `config` says; whether that says anything
    /// new.
    pub(super) fn change(&mut self, config: &config::Listener, welcome: Welcome) -> bool {
        let is_new = self.config != *config;
        self.limit().set(config.max_connections);
        self.welcome.store(Arc::new(welcome));
        self.config = config.clone();
        is_new
    }

    /// Says that it is going to close.
    pub(super) fn say_closed(&self) {
        info!("listening no more on {}", self.address());
    }

    /// Reads its certificates again if their files have changed. The old ones stay if the new ones
    /// cannot be used.
    pub(super) fn renew_certificates(&mut self) {
        let Some(tls) = &mut self.config.tls else {
            return;
        };
        let mut is_new = false;
        for certificate in &mut tls.certificates {
            if !certificate.has_changed() {
                continue;
            }
            match certificate.renew() {
                Ok(()) => is_new = true,
                Err(error) => {
                    warn!(%error, "a certificate has changed, but cannot be used: the old one stays");
                }
            }
        }
        if is_new {
            self.change_certificates();
        }
    }

    fn change_certificates(&self) {
        let before = self.welcome.load_full();
        let (Some(acceptor), Some(tls)) = (&before.tls, &self.config.tls) else {
            return;
        };
        let listener = self.address();
        match Acceptor::after(acceptor, tls) {
            Ok(acceptor) => {
                let tls = Some(acceptor);
                let after = Welcome {
                    tls,
                    ..Welcome::clone(&before)
                };
                self.welcome.store(Arc::new(after));
                info!(%listener, "new certificates are in use");
            }
            Err(error) => warn!(%listener, %error, "cannot use new certificates"),
        }
    }

    /// Lets nobody in any more but those who wait in the system's queue, which ends with it.
    pub(super) async fn close(self) {
        self.end(Reception::receive_queued).await;
    }

    /// Lets nobody in any more: its sockets, and whoever waits in their queues, are another
    /// process's now.
    pub(super) async fn leave(self) {
        self.end(Reception::receive_accepted).await;
    }

    /// Receives clients for a last time.
    async fn end<R>(mut self, last: impl Fn(Reception) -> R)
    where
        R: Future<Output = ()> + Send + 'static,
    {
        self.receptions.shutdown().await;
        for reception in self.all_receptions() {
            let worker = self.workers.at(reception.here).handle();
            self.receptions.spawn_on(last(reception), worker);
        }
        self.listeners.clear();
        while self.receptions.join_next().await.is_some() {}
    }

    pub(super) fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// Its listening sockets.
    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners.iter().map(|listener| listener.as_fd())
    }

    fn all_receptions(&self) -> Vec<Reception> {
        let address = Arc::new(self.address());
        let reception = |(index, listener): (usize, &Arc<Listener>)| Reception {
            listener: Arc::clone(listener),
            address: Arc::clone(&address),
            here: index % self.workers.len(),
            workers: Arc::clone(&self.workers),
            welcome: Arc::clone(&self.welcome),
        };
        self.listeners.iter().enumerate().map(reception).collect()
    }
}
