//! The whole file: its sections, then what they say about each other.

use std::sync::Arc;

use toml::de::DeTable;

use super::{
    Admin, Admission, Config, Limits, Log, Reload, Server, Source, Stop, Upgrade,
    checks::{Drafts, List},
    diagnostics::Problem,
    field::Field,
    keepalive, listener, pool,
    reading::{Reading, Reported, all},
    route,
    section::Section,
    surroundings::Surroundings,
    timeouts,
};

/// The configuration in `text`, which is called `origin`, or everything that is wrong with it: at
/// least one problem.
pub(super) fn read(
    text: &str,
    origin: &str,
    surroundings: &Surroundings<'_>,
) -> Result<Config, Vec<Problem>> {
    let source = Source::now(origin, text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let reading = Reading::new(text, root.get_ref(), &errors, surroundings);
    reading.whole(|root| config(root, source))
}

/// The section `[admin]` in `text`, or what it is by default where it cannot be read.
pub(super) fn admin(text: &str, surroundings: &Surroundings<'_>) -> Admin {
    // What is not TOML may hide from the parser what comes after it.
    let by_itself = lines_of("[admin]", text);
    let found = [text, &by_itself].into_iter().find_map(|text| {
        let (root, errors) = DeTable::parse_recoverable(text);
        let reading = Reading::new(text, root.get_ref(), &errors, surroundings);
        let admin = reading.part(|root| root.optional("admin", |field| field.table(Admin::read)));
        admin.flatten()
    });
    found.unwrap_or_default()
}

/// The lines of a section, from its header to the next one.
fn lines_of(header: &str, text: &str) -> String {
    let mut lines = text.lines();
    let own = lines.find(|line| line.trim() == header);
    let rest = lines.take_while(|line| !line.trim_start().starts_with('['));
    own.into_iter().chain(rest).collect::<Vec<_>>().join("\n")
}

/// The configuration in the top-level table, which was read from `source`.
pub(super) fn config(root: &Section<'_>, source: Source) -> Result<Config, Reported> {
    let server = root.table("server", Server::read);
    let admin = root.table("admin", Admin::read);
    let stop = root.table("stop", Stop::read);
    let upgrade = root.table("upgrade", Upgrade::read);
    let reload = root.table("reload", Reload::read);
    let limits = root.table("limits", Limits::read);
    let log = root.table("log", Log::read);
    let admission = root.optional("admission", Admission::read);
    let timeouts = root.table("timeouts", |section| Ok(timeouts::Draft::read(section)));
    let keepalive = root
        .table("keepalive", |section| {
            let unwritten = keepalive::Draft::unwritten();
            Ok(keepalive::Draft::read(section, &unwritten))
        })
        .unwrap_or_else(|_| keepalive::Draft::unwritten());
    let base = timeouts
        .clone()
        .unwrap_or_else(|_| timeouts::Draft::unwritten());
    let drafts = Drafts {
        listeners: listeners(root),
        routes: routes(root, &keepalive, &base),
        pools: pools(root),
        timeouts,
    };
    let destinations = drafts.check(root);
    Ok(Config {
        source: Arc::new(source),
        server: server?,
        admin: admin?,
        stop: stop?,
        upgrade: upgrade?,
        reload: reload?,
        listeners: drafts.listeners.all(|draft| draft.listener)?,
        routes: settled(drafts.routes, destinations)?,
        pools: drafts.pools.all(|draft| draft.pool)?,
        admission: admission?.unwrap_or_default(),
        timeouts: drafts.timeouts?.timeouts(),
        limits: limits?,
        log: log?,
    })
}

fn listeners(root: &Section<'_>) -> List<listener::Draft> {
    let expected = "an address to listen on: `[[listener]]` with `address = \"0.0.0.0:8080\"`";
    List::of(root.required("listener", expected, |field| {
        elements(field, "[[listener]]", |section| {
            Ok(listener::Draft::read(section))
        })
    }))
}

fn routes(
    root: &Section<'_>,
    keepalive: &keepalive::Draft,
    timeouts: &timeouts::Draft,
) -> List<route::Draft> {
    let expected = "what goes to which pool: `[[route]]` with `pool = \"chat\"`";
    List::of(root.required("route", expected, |field| {
        elements(field, "[[route]]", |section| {
            Ok(route::Draft::read(section, keepalive, timeouts))
        })
    }))
}

fn pools(root: &Section<'_>) -> List<pool::Draft> {
    let expected = "the backends: `[pool.chat]` with `backends = [\"127.0.0.1:9001\"]`";
    List::of(root.required("pool", expected, |field| {
        let named = field.named("a table for each pool, such as `[pool.chat]`")?;
        if named.is_empty() {
            return Err(field.fault("there is no pool", "expected one such as `[pool.chat]`"));
        }
        Ok(named
            .iter()
            .map(|field| Ok(pool::Draft::read(field)))
            .collect())
    }))
}

/// The tables of an array that is usually written with a `header` for each.
fn elements<'a, D>(
    field: &Field<'a>,
    header: &str,
    read: impl Fn(&Section<'a>) -> Result<D, Reported>,
) -> Result<Vec<Result<D, Reported>>, Reported> {
    let expected = format!("a table for each, headed `{header}`");
    let elements = field.elements(&expected)?;
    if elements.is_empty() {
        let message = format!("there is no {}", field.key);
        return Err(field.fault(message, format!("expected {expected}")));
    }
    Ok(elements
        .iter()
        .map(|element| element.table(&read))
        .collect())
}

fn settled(
    routes: List<route::Draft>,
    destinations: Vec<Result<usize, Reported>>,
) -> Result<Vec<route::Route>, Reported> {
    routes.is_whole?;
    let pairs = routes.drafts.into_iter().zip(destinations);
    all(pairs.map(|(draft, destination)| draft.settled(destination?)))
}
