//! The events themselves.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use http::StatusCode;
use tracing::info;

use super::{MOST_OF_METHOD, Record, TARGET, cut, record::Asked};
use crate::{
    pool::backend::Backend,
    proxy::counts::{Ending, RouteCounts},
    tunnel::{Cause, Ended, Party, TunnelEnd},
};

impl Record {
    /// The event of a plain request, or of a handshake that became no tunnel.
    pub(in crate::proxy) fn answered(&self, status: StatusCode, bytes: u64, is_whole: bool) {
        self.request_ended(Some(status), bytes, is_whole);
    }

    /// We answer the request ourselves, with that `status` and for that `reason`. One without a route is counted as one
    /// that went `nowhere`.
    pub(in crate::proxy) fn refused(
        &self,
        reason: &'static str,
        status: StatusCode,
        nowhere: &RouteCounts,
    ) {
        if self.is_handshake.load(Relaxed) {
            self.is_counted.store(true, Relaxed);
            self.counts().unwrap_or(nowhere).failed(reason);
        } else if self.counts().is_none() {
            nowhere.answered(Some(status), self.arrived.elapsed());
        }
    }

    pub(in crate::proxy) fn tunnel_opened(&self, tunnel: u64) {
        self.tunnel.get_or_init(|| tunnel);
        self.begins_to_serve();
        self.count(|counts, backend| counts.opened(backend, self.arrived.elapsed()));
        if let Some(asked) = self.logged() {
            info!(
                target: TARGET,
                tunnel,
                client = %asked.client,
                host = asked.host,
                path = asked.path,
                query = asked.query,
                handshake_seconds = self.arrived.elapsed().as_secs_f64(),
                route = self.route_name(),
                pool = self.pool_name(),
                backend = self.backend_name(),
                affinity = %self.affinity(),
                "tunnel opened"
            );
        }
    }

    /// The event of a tunnel that has lost the backend `from` and goes on with `to`.
    pub(in crate::proxy) fn tunnel_moved(&self, from: &Backend, to: &Arc<Backend>) {
        self.tries(to);
        self.begins_to_serve();
        self.counts()
            .inspect(|counts| counts.rescued(from.name(), to.name()));
        if let Some(asked) = self.logged() {
            info!(
                target: TARGET,
                tunnel = self.tunnel.get(),
                client = %asked.client,
                host = asked.host,
                path = asked.path,
                query = asked.query,
                route = self.route_name(),
                pool = self.pool_name(),
                from = from.name(),
                backend = to.name(),
                "tunnel moved"
            );
        }
    }

    pub(in crate::proxy) fn tunnel_ended(&self, tunnel: u64, ended: &Ended) {
        self.end_of_tunnel(tunnel, Some(ended));
    }

    fn request_ended(&self, status: Option<StatusCode>, bytes: u64, is_whole: bool) {
        self.has_ended.store(true, Relaxed);
        self.counts()
            .inspect(|counts| self.count_answer(counts, status));
        if let Some(asked) = self.logged() {
            info!(
                target: TARGET,
                client = %asked.client,
                method = %cut(asked.method.as_str(), MOST_OF_METHOD),
                host = asked.host,
                path = asked.path,
                query = asked.query,
                status = status.map(|status| status.as_u16()),
                bytes,
                complete = is_whole,
                duration_seconds = self.arrived.elapsed().as_secs_f64(),
                route = self.route_name(),
                pool = self.pool_name(),
                backend = self.backend_name(),
                affinity = %self.affinity(),
                "request"
            );
        }
    }

    /// The event of a tunnel's end. One that was cut with its worker can say no more.
    fn end_of_tunnel(&self, tunnel: u64, ended: Option<&Ended>) {
        self.has_ended.store(true, Relaxed);
        let (by, cause) = ended.map_or((Party::Proxy, Cause::Shutdown), |ended| {
            (ended.end.by, ended.end.cause)
        });
        let code = ended.and_then(|ended| ended.end.code);
        let ending = Ending::of(TunnelEnd { by, cause, code });
        self.count(|counts, backend| counts.ended(backend, ending, self.arrived.elapsed()));
        if let Some(asked) = self.logged() {
            info!(
                target: TARGET,
                tunnel,
                client = %asked.client,
                host = asked.host,
                path = asked.path,
                query = asked.query,
                ended_by = %by,
                cause = %cause,
                close_code = code.map(|code| code.0),
                duration_seconds = self.arrived.elapsed().as_secs_f64(),
                client_bytes = ended.map(|ended| ended.from_client.bytes),
                client_messages = ended.map(|ended| ended.from_client.messages),
                backend_bytes = ended.map(|ended| ended.from_backend.bytes),
                backend_messages = ended.map(|ended| ended.from_backend.messages),
                route = self.route_name(),
                pool = self.pool_name(),
                backend = self.backend_name(),
                affinity = %self.affinity(),
                "tunnel ended"
            );
        }
    }
}

impl Record {
    /// What was asked, if that is logged.
    fn logged(&self) -> Option<&Asked> {
        Some(&*self.asked).filter(|_| self.is_logged)
    }

    /// Counts what was answered, unless that was done when it was refused.
    fn count_answer(&self, counts: &RouteCounts, status: Option<StatusCode>) {
        match (self.is_handshake.load(Relaxed), status) {
            (false, _) => counts.answered(status, self.arrived.elapsed()),
            _ if self.is_counted.load(Relaxed) => {}
            (true, None) => counts.failed("client_left"),
            (true, Some(_)) => counts.failed("backend_answer"),
        }
    }
}

impl Drop for Record {
    /// A client that left before its answer, and a tunnel that was cut, have their event too.
    fn drop(&mut self) {
        self.give_back_share();
        if *self.has_ended.get_mut() {
            return;
        }
        match self.tunnel.get() {
            Some(tunnel) => self.end_of_tunnel(*tunnel, None),
            None => self.request_ended(None, 0, false),
        }
    }
}
