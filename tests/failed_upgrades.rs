//! An upgrade that fails changes nothing: the old process serves, and can be upgraded later.

use std::{
    fs::{self, OpenOptions},
    io::Write,
};

use longwire::websocket::{CloseCode, Role};
use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::{Pid, Signal, kill_process},
};
use tokio::{net::TcpStream, task::spawn_blocking};

use crate::support::{
    Backend, Client, ClientSocket, Folder, Process, Raw, Site, children, frame, until,
};

/// A process with a tunnel of each kind.
struct Old {
    site: Site,
    process: Process,
    plain: Client,
    tls: Raw<ClientSocket>,
    backends: [Backend; 1],
}

impl Old {
    async fn begin(upgrade: &str) -> Self {
        let site = Site::new();
        site.folder.install();
        let backends = [Backend::echo().await];
        site.configure(&backends, upgrade);
        let mut process = site.folder.start_installed();
        process.line("to pool main").await;
        let mut tls = site.client().connect(site.tls, "proxy.test").await;
        tls.open_websocket().await;
        Self {
            process,
            plain: Client::connect(site.plain, "/", &[]).await,
            tls,
            backends,
            site,
        }
    }

    fn folder(&self) -> &Folder {
        &self.site.folder
    }

    /// An upgrade fails, with these words, and all goes on as before.
    async fn is_not_upgraded(&mut self, words: &[&str]) {
        let outcome = self.folder().run(&["upgrade"]).await;
        outcome.is_failure_with(1, words);
        self.goes_on().await;
    }

    /// It serves whom it has and whoever comes, it is ready, and it has no children.
    async fn goes_on(&mut self) {
        assert_eq!(children(self.process.id()), [0; 0]);
        assert_eq!(self.plain.echo("still there?").await, "still there?");
        self.tls.send(frame(0x81, b"you too?", Role::Client)).await;
        assert_eq!(self.tls.frame().await.unwrap().payload, b"you too?");
        let mut newcomer = Client::connect(self.site.plain, "/", &[]).await;
        assert_eq!(newcomer.echo("hello").await, "hello");
        let outcome = self.folder().run(&["health"]).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    }

    /// Another program begins to take over.
    async fn is_succeeded_by(&mut self, script: &str) {
        self.folder().install_script(script);
        self.process.signal(Signal::USR2);
        until(|| !children(self.process.id()).is_empty()).await;
    }

    async fn is_told_to_stop(&mut self) {
        let told = self.tls.frame().await.unwrap();
        let reason = (CloseCode::GOING_AWAY, "proxy is stopping");
        assert_eq!(told.close(), Some(reason));
    }

    /// The program as it should be takes over.
    async fn ends_upgraded(mut self) {
        self.folder().install();
        let heir = self.folder().upgrade().await;
        let told = self.tls.frame().await.unwrap();
        let reason = (CloseCode::SERVICE_RESTART, "proxy is upgraded");
        assert_eq!(told.close(), Some(reason));
        drop(self.tls);
        assert_eq!(
            self.process.left().await,
            Some(0),
            "{:#?}",
            self.process.log
        );
        assert_eq!(self.plain.echo("still there?").await, "still there?");
        drop(self.plain);
        heir.signal(Signal::TERM);
        let (_, log) = self.process.ended().await;
        assert!(log.last().unwrap().contains("stopped"), "{log:#?}");
    }
}

#[tokio::test]
async fn a_program_that_ends_or_cannot_be_started_does_not_take_over() {
    let mut old = Old::begin("").await;
    old.folder().install_script("exit 7");
    let ended = "it has ended with exit status: 7, and this one goes on";
    old.is_not_upgraded(&["the new process cannot be talked to", ended])
        .await;
    // It hears what it is to take over, and dies of it.
    old.folder().install_script("head -c 20 >/dev/null; exit 7");
    old.is_not_upgraded(&[ended]).await;
    old.folder().install_script("kill -9 $$");
    old.is_not_upgraded(&["signal: 9 (SIGKILL), and this one goes on"])
        .await;
    old.folder().install_nothing();
    let path = old.folder().path().join("longwire");
    let refused = format!("cannot start {}: Permission denied", path.display());
    old.is_not_upgraded(&[&refused]).await;
    fs::remove_file(path).unwrap();
    old.is_not_upgraded(&["No such file"]).await;
    old.ends_upgraded().await;
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_when_its_time_is_over() {
    let mut old = Old::begin("[upgrade]\ntimeout = \"500ms\"").await;
    old.folder().install_script("exec sleep 1000");
    let words = ["not ready after 500ms; it was killed, and this one goes on"];
    old.is_not_upgraded(&words).await;
    // It says nothing at all, but listens.
    old.folder().install_script("exec cat >/dev/null");
    old.is_not_upgraded(&words[..0]).await;
    old.ends_upgraded().await;
}

#[tokio::test]
async fn a_configuration_that_has_become_wrong_is_said_to_who_wants_to_upgrade() {
    let mut old = Old::begin("").await;
    old.folder()
        .write("proxy.toml", "[[listener]]\naddress = \"nonsense\"");
    let outcome = old.folder().run(&["upgrade"]).await;
    outcome.is_failure_with(1, &["proxy.toml:2:11", "nonsense", "and this one goes on"]);

    // The same by a signal. What is wrong may take several lines.
    old.process.signal(Signal::USR2);
    old.process.line("upgrade refused").await;
    old.process.line("upgrade refused").await;
    old.process.line("and this one goes on").await;
    old.site.configure(&old.backends, "");
    old.goes_on().await;
    old.ends_upgraded().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_to_who_wants_to_upgrade() {
    let mut old = Old::begin("").await;
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let listener = format!("[[listener]]\naddress = \"{taken}\"");
    old.site.configure(&old.backends, &listener);
    let words = format!("cannot listen on {taken}");
    old.is_not_upgraded(&[&words, "and this one goes on"]).await;
    old.site.configure(&old.backends, "");
    old.ends_upgraded().await;
}

#[tokio::test]
async fn nothing_else_is_done_while_another_process_gets_ready() {
    let mut old = Old::begin("[upgrade]\ntimeout = \"1h\"").await;
    old.is_succeeded_by("exec sleep 1000").await;
    for order in ["reload", "upgrade"] {
        let outcome = old.folder().run(&[order]).await;
        outcome.is_failure_with(1, &["another process is taking over"]);
    }
    let [child] = children(old.process.id())[..] else {
        panic!("one child");
    };
    kill(child);
    old.process.line("this one goes on").await;
    old.goes_on().await;
    let outcome = old.folder().run(&["reload"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    old.ends_upgraded().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_process_that_gets_ready_nor_leave_it_behind() {
    let mut old = Old::begin("[upgrade]\ntimeout = \"1h\"\n[stop]\nover = \"1s\"").await;
    old.is_succeeded_by("exec sleep 1000").await;
    old.process.signal(Signal::TERM);
    old.is_told_to_stop().await;
    drop((old.plain, old.tls));
    // Neither is left that could write to the log.
    let (code, log) = old.process.ended().await;
    assert_eq!(code, Some(0), "{log:#?}");
}

#[tokio::test]
async fn who_gets_ready_too_late_does_not_serve() {
    let mut old = Old::begin("[upgrade]\ntimeout = \"1h\"\n[stop]\nover = \"1s\"").await;
    // It begins when it can read a line.
    let pipe = old.folder().path().join("pipe");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let script = format!("read line <pipe; exec {}", env!("CARGO_BIN_EXE_longwire"));
    old.is_succeeded_by(&script).await;
    let begun = spawn_blocking(|| OpenOptions::new().write(true).open(pipe));
    let mut line = begun.await.unwrap().unwrap();
    old.process.signal(Signal::TERM);
    old.is_told_to_stop().await;
    line.write_all(b"\n").unwrap();
    old.process.line("upgrade refused: the proxy stops").await;
    assert!(TcpStream::connect(old.site.plain).await.is_err());
    drop((old.plain, old.tls));
    let (code, log) = old.process.ended().await;
    assert_eq!(code, Some(0), "{log:#?}");
    let listening = log
        .iter()
        .filter(|line| line.contains("listening on http:"));
    assert_eq!(listening.count(), 1, "{log:#?}");
}

fn kill(process: u32) {
    kill_process(Pid::from_raw(process.cast_signed()).unwrap(), Signal::KILL).unwrap();
}
