//! A service manager that speaks as systemd does is told what it needs to know, and may open the
//! listening sockets.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::UnixDatagram,
    process::Command,
    time::{Instant, timeout},
};

use crate::support::{Backend, Client, Folder, Process, until};

#[tokio::test]
async fn readiness_is_told_once_clients_are_served() {
    let backend = Backend::echo().await;
    let folder = Folder::new();
    folder.configure(backend.address, "");
    let manager = Manager::new(&folder);
    let mut process = manager.start(&folder, &[]);
    let told = manager.told().await;
    assert_eq!(
        told,
        format!("READY=1\nMAINPID={}\nSTATUS=serving\n", process.id())
    );
    let address = process.address().await;
    let mut client = Client::connect(address, "/", &[]).await;
    assert_eq!(client.echo("hello").await, "hello");

    process.signal(Signal::TERM);
    assert_eq!(manager.told().await, "STOPPING=1\nSTATUS=stopping\n");
    assert_eq!(process.ended().await.0, Some(0));
}

#[tokio::test]
async fn a_proxy_that_cannot_serve_is_never_ready() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new();
    let manager = Manager::new(&folder);
    configure(&folder, taken.local_addr().unwrap(), nobody(), "");
    let process = manager.start(&folder, &[]);
    assert_eq!(process.ended().await.0, Some(1));
    manager.was_told_nothing_more();
}

#[tokio::test]
async fn a_reload_is_told_with_its_end_whatever_comes_of_it() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let manager = Manager::new(&folder);
    let process = manager.start(&folder, &[]);
    manager.told().await;
    folder.write("proxy.toml", "nonsense");
    process.signal(Signal::HUP);
    let told = manager.told().await;
    let (reloading, now) = told.trim_end().split_once("\nMONOTONIC_USEC=").unwrap();
    assert_eq!(reloading, "RELOADING=1");
    assert!(now.parse::<u64>().is_ok(), "{told}");
    let told = manager.told().await;
    assert!(told.starts_with("READY=1\n"), "{told}");
    assert!(told.contains("the last reload was refused"), "{told}");
}

#[tokio::test]
async fn the_watchdog_hears_twice_in_its_time_that_the_proxy_lives() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let manager = Manager::new(&folder);
    let process = manager.start(&folder, &[("WATCHDOG_USEC", "1000000")]);
    manager.told().await;
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(manager.told().await, "WATCHDOG=1\n");
    }
    // One at once, and three waits of half a second.
    let taken = began.elapsed().as_secs_f64();
    assert!((1.4..2.8).contains(&taken), "{taken}");
    process.stop().await;
}

#[tokio::test]
async fn the_watchdog_hears_of_the_process_that_has_taken_over() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let manager = Manager::new(&folder);
    let script = "export WATCHDOG_PID=$$; exec \"$@\"";
    let process = manager.start_by(script, &folder, &[("WATCHDOG_USEC", "1000000")]);
    manager.told().await;
    assert_eq!(manager.told().await, "WATCHDOG=1\n");
    assert_eq!(folder.run(&["upgrade"]).await.code, Some(0));
    let heir = loop {
        let told = manager.told().await;
        if let Some(id) = told.strip_prefix("MAINPID=") {
            break Pid::from_raw(id.trim_end().parse().unwrap()).unwrap();
        }
    };
    // It logs to where the old one did, so its log ends with the last of both.
    let stop = async {
        let mut heard = 0;
        while heard < 4 {
            heard += usize::from(manager.told().await == "WATCHDOG=1\n");
        }
        kill_process(heir, Signal::TERM).unwrap();
    };
    let ((code, log), ()) = tokio::join!(process.ended(), stop);
    assert_eq!(code, Some(0), "{log:#?}");
}

#[tokio::test]
async fn the_process_that_takes_over_is_named_and_ready_and_the_old_one_leaves_in_silence() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let manager = Manager::new(&folder);
    let mut process = manager.start_group(&folder);
    manager.told().await;
    let heir = folder.upgrade().await;
    let ready = format!("READY=1\nMAINPID={}\nSTATUS=serving\n", heir.id());
    let main = format!("MAINPID={}\n", heir.id());
    // They come from two processes.
    let mut told = [manager.told().await, manager.told().await];
    told.sort();
    assert_eq!(told, [main, ready]);
    assert_eq!(process.left().await, Some(0));
    manager.was_told_nothing_more();
    heir.signal(Signal::TERM);
    assert_eq!(manager.told().await, "STOPPING=1\nSTATUS=stopping\n");
    process.ended().await;
}

#[tokio::test]
async fn another_processs_watchdog_is_not_fed() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let manager = Manager::new(&folder);
    let process = manager.start(&folder, &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]);
    manager.told().await;
    // Its answer comes after a thousandth of a second.
    assert_eq!(folder.run(&["health"]).await.code, Some(0));
    manager.was_told_nothing_more();
    process.stop().await;
}

#[tokio::test]
async fn a_socket_that_was_passed_is_served_on_by_all_workers() {
    let backend = Backend::echo().await;
    let folder = Folder::new();
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = passed.local_addr().unwrap();
    configure(&folder, address, backend.address, "[server]\nworkers = 3");
    // Who comes before the proxy waits.
    let early = tokio::spawn(async move {
        let mut client = Client::connect(address, "/", &[]).await;
        client.echo("early").await
    });
    let mut process = activate(&folder, passed.into(), "$$");
    assert_eq!(process.address().await, address);
    assert_eq!(early.await.unwrap(), "early");
    let mut clients = Vec::new();
    for _ in 0..12 {
        clients.push(Client::connect(address, "/", &[]).await);
    }
    for client in &mut clients {
        assert_eq!(client.echo("hello").await, "hello");
    }
    drop(clients);
    let log = process.stop().await;
    assert!(!log.iter().any(|line| line.contains("WARN")), "{log:#?}");
}

#[tokio::test]
async fn a_door_that_was_passed_takes_orders_and_its_file_stays() {
    let folder = Folder::new();
    let path = folder.path().join("lent.sock");
    folder.configure(nobody(), &format!("[admin]\nsocket = {path:?}"));
    let passed = UnixListener::bind(&path).unwrap();
    let mut process = activate(&folder, passed.into(), "$$");
    process.line("to pool main").await;
    assert_eq!(folder.run(&["health"]).await.code, Some(0));
    let holder = format!("the process {} takes orders at", process.id());
    folder.run(&[]).await.is_failure_with(1, &[&holder]);
    let log = process.stop().await;
    assert!(!log.iter().any(|line| line.contains("WARN")), "{log:#?}");
    assert!(path.exists());
}

#[tokio::test]
async fn a_socket_that_nobody_wants_is_closed_and_named() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = passed.local_addr().unwrap();
    let mut process = activate(&folder, passed.into(), "$$");
    let warning = process.line("is closed").await;
    assert!(warning.contains(&address.to_string()), "{warning}");
    // A process that another test starts holds it, too, between its fork and its exec.
    until(|| TcpStream::connect(address).is_err()).await;
}

#[tokio::test]
async fn what_is_no_listening_socket_is_refused() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let (passed, _other) = UnixStream::pair().unwrap();
    let process = activate(&folder, passed.into(), "$$");
    let (code, log) = process.ended().await;
    assert_eq!(code, Some(1));
    assert!(
        log[0].starts_with("descriptor 3 of LISTEN_FDS is no socket"),
        "{log:#?}"
    );
}

#[tokio::test]
async fn what_was_passed_to_another_process_is_left_alone() {
    let folder = Folder::new();
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(&folder, passed.local_addr().unwrap(), nobody(), "");
    let process = activate(&folder, passed.into(), "1");
    let (code, log) = process.ended().await;
    assert_eq!(code, Some(1), "{log:#?}");
    assert!(log.last().unwrap().contains("in use"), "{log:#?}");
}

/// Plays the service manager.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(folder: &Folder) -> Self {
        let path = folder.path().join("notify");
        Self {
            socket: UnixDatagram::bind(&path).unwrap(),
            path,
        }
    }

    fn start(&self, folder: &Folder, environment: &[(&str, &str)]) -> Process {
        self.start_by("exec \"$@\"", folder, environment)
    }

    /// Starts the program, which is `"$@"`, by a script of the shell.
    fn start_by(&self, script: &str, folder: &Folder, environment: &[(&str, &str)]) -> Process {
        folder.start_by(script, |command: &mut Command| {
            command.env("NOTIFY_SOCKET", &self.path);
            command.envs(environment.iter().copied());
        })
    }

    /// Starts it together with all that take over from it.
    fn start_group(&self, folder: &Folder) -> Process {
        folder.start_group_by("exec \"$@\"", |command| {
            command.env("NOTIFY_SOCKET", &self.path);
        })
    }

    /// What it is told next.
    async fn told(&self) -> String {
        let mut text = [0; 1000];
        let told = timeout(Duration::from_secs(60), self.socket.recv(&mut text)).await;
        let length = told.expect("it is told nothing more").unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    fn was_told_nothing_more(&self) {
        let mut text = [0; 1000];
        let told = self.socket.try_recv(&mut text);
        assert!(told.is_err(), "{:?}", String::from_utf8_lossy(&text));
    }
}

/// Starts the program with one socket, passed to the process with the number `pid`.
fn activate(folder: &Folder, socket: OwnedFd, pid: &str) -> Process {
    let script = format!("exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID={pid} exec \"$@\"");
    folder.start_by(&script, |command| {
        command.stdin(socket);
    })
}

fn configure(folder: &Folder, address: SocketAddr, backend: SocketAddr, rest: &str) {
    folder.configure(backend, rest);
    let file = folder.path().join("proxy.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("127.0.0.1:0", &address.to_string());
    std::fs::write(file, text).unwrap();
}

/// An address at which there is nobody.
fn nobody() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}
