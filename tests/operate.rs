//! A running proxy is operated by commands and by signals.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::Write,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};

use longwire::{
    admin::{Door, Order},
    config::{Admin, AdminSocket},
    listener::Inherited,
};
use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::{Pid, Signal, geteuid, kill_process},
};
use tokio::{net::TcpStream, process::Command, sync::mpsc, task::spawn_blocking};

use crate::support::{Backend, Client, Folder, Process, Proxy, Raw, WRONG, children, desk, until};

#[tokio::test]
async fn a_reload_of_a_wrong_file_is_refused_with_its_problems_and_the_proxy_goes_on() {
    let backend = Backend::echo().await;
    let folder = Folder::new();
    folder.configure(backend.address, "");
    let mut process = folder.start(&[]);
    let address = process.address().await;

    folder.write("proxy.toml", WRONG);
    let outcome = folder.run(&["reload"]).await;
    outcome.is_failure_with(
        1,
        &["proxy.toml:2:11", "nonsense", "proxy.toml:5:8", "no-slash"],
    );
    process.line("reload refused").await;
    assert_eq!(folder.run(&["health"]).await.code, Some(0));
    let mut client = Client::connect(address, "/", &[]).await;
    assert_eq!(client.echo("hello").await, "hello");
}

#[tokio::test]
async fn what_was_done_is_said_on_stdout() {
    let folder = Folder::new();
    let path = folder.path().join("door.sock");
    let (orders, mut errands) = mpsc::channel(1);
    let proxy = Proxy::fronting_addresses(NOBODY).start().await;
    tokio::spawn(door(&path).serve(desk(&proxy, orders)));
    let socket = path.to_str().unwrap();
    for (command, order) in [("reload", Order::Reload), ("upgrade", Order::Upgrade)] {
        let arguments = [command, "--socket", socket];
        let (outcome, ()) = tokio::join!(folder.run(&arguments), async {
            let errand = errands.recv().await.unwrap();
            assert_eq!(errand.order, order);
            errand
                .reply
                .send(Ok("two pools,\none new".to_owned()))
                .unwrap();
        });
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert_eq!(outcome.stdout, "two pools,\none new\n");
        assert_eq!(outcome.stderr, "");
    }
}

#[tokio::test]
async fn what_was_refused_is_said_on_stderr() {
    let folder = Folder::new();
    let path = folder.path().join("door.sock");
    let (orders, mut errands) = mpsc::channel(1);
    let proxy = Proxy::fronting_addresses(NOBODY).config("[stop]\ndelay = \"1h\"");
    let mut proxy = proxy.start().await;
    tokio::spawn(door(&path).serve(desk(&proxy, orders)));
    let socket = path.to_str().unwrap();
    let arguments = ["upgrade", "--socket", socket];
    let (outcome, ()) = tokio::join!(folder.run(&arguments), async {
        let errand = errands.recv().await.unwrap();
        errand
            .reply
            .send(Err("the new one did not start".to_owned()))
            .unwrap();
    });
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.stdout, "");
    assert_eq!(outcome.stderr, "the new one did not start\n");

    let well = folder.run(&["health", "--socket", socket]).await;
    assert_eq!((well.code, well.stdout.as_str()), (Some(0), "ready\n"));
    let mut readiness = proxy.control.readiness();
    proxy.stop();
    readiness.changed().await.unwrap();
    let ill = folder.run(&["health", "--socket", socket]).await;
    ill.is_failure_with(1, &["stopping"]);
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_is_not_healthy() {
    let folder = Folder::new();
    let hanging = UnixListener::bind(folder.path().join("door.sock")).unwrap();
    let outcome = folder.run(&["health", "--socket", "door.sock"]).await;
    outcome.is_failure_with(1, &["no answer at door.sock", "5s"]);
    drop(hanging);
}

#[tokio::test]
async fn commands_find_the_socket_where_the_file_says_and_wherever_they_are_called_from() {
    let folder = Folder::new();
    let own = "[admin]\nsocket = \"own.sock\"";
    folder.configure(nobody(), own);
    let mut process = folder.start(&[]);
    process.line("orders are taken at own.sock").await;
    process.line("to pool main").await;
    folder.write("proxy.toml", &format!("{WRONG}\n{own}"));
    let elsewhere = Folder::new();
    let file = folder.path().join("proxy.toml");
    let arguments = ["health", "--config", file.to_str().unwrap()];
    assert_eq!(elsewhere.run(&arguments).await.code, Some(0));
    process.stop().await;
    assert!(!folder.path().join("own.sock").exists());
}

#[tokio::test]
async fn where_nobody_is_it_is_said_where_somebody_was_looked_for() {
    let folder = Folder::new();
    for command in ["reload", "upgrade", "health"] {
        let outcome = folder.run(&[command]).await;
        outcome.is_failure_with(1, &["cannot read proxy.toml: No such file"]);
    }
    folder.configure(nobody(), "");
    for command in ["reload", "upgrade", "health"] {
        let outcome = folder.run(&[command]).await;
        let looked_for = [
            "no longwire runs with proxy.toml: nobody listens at /",
            "--socket",
        ];
        outcome.is_failure_with(1, &looked_for);
        let outcome = folder.run(&[command, "--socket", "gone.sock"]).await;
        outcome.is_failure_with(1, &["nobody listens at gone.sock"]);
    }
    folder.configure(nobody(), "[admin]\nsocket = \"off\"");
    let outcome = folder.run(&["reload"]).await;
    outcome.is_failure_with(1, &["takes no orders but signals"]);
}

#[tokio::test]
async fn the_usual_socket_is_its_users_alone_and_goes_with_the_process() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let mut process = folder.start(&[]);
    let path = socket_of(&mut process).await;
    assert_eq!(path.parent().unwrap(), folder.path());
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    process.line("to pool main").await;
    process.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn the_second_proxy_with_a_file_says_who_is_there() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let mut first = folder.start(&[]);
    socket_of(&mut first).await;
    let holder = format!("the process {} takes orders at", first.id());
    let mut second = folder.start(&[]);
    let warning = second.line("orders are taken by signals alone").await;
    assert!(warning.contains(&holder), "{warning}");
    second.line("to pool main").await;
    second.stop().await;
    assert_eq!(folder.run(&["health"]).await.code, Some(0));

    folder.configure(nobody(), "[admin]\nsocket = \"own.sock\"");
    let mut third = folder.start(&[]);
    third.line("to pool main").await;
    let holder = format!("the process {} takes orders at own.sock", third.id());
    folder.run(&[]).await.is_failure_with(1, &[&holder]);
}

#[tokio::test]
async fn a_proxy_that_runs_by_options_alone_has_no_socket() {
    let folder = Folder::new();
    let options = ["--listen", "127.0.0.1:0", "--backend", "127.0.0.1:1"];
    let mut process = folder.start(&options);
    process.line("to pool default").await;
    process.signal(Signal::HUP);
    process.line("started without a configuration file").await;
    let log = process.stop().await;
    assert!(
        !log.iter().any(|line| line.contains("orders are taken")),
        "{log:#?}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn signals_are_orders_with_their_outcome_in_the_log() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let mut process = folder.start(&[]);
    process.line("to pool main").await;
    folder.write("proxy.toml", WRONG);
    process.signal(Signal::HUP);
    process.line("reload refused").await;
    process.line("proxy.toml:2:11").await;
    process.signal(Signal::USR2);
    process.line("upgrade").await;
    process.stop().await;
}

#[tokio::test]
async fn readiness_says_no_while_the_proxy_stops() {
    let (server, mut arrivals) = Backend::played().await;
    let folder = Folder::new();
    folder.configure(
        server.address,
        "[timeouts]\nclose = \"1h\"\n[stop]\ndeadline = \"1h\"",
    );
    let mut process = folder.start(&[]);
    let address = process.address().await;
    let mut client = Raw::new(TcpStream::connect(address).await.unwrap());
    client.ask_for_websocket("/").await;
    arrivals.recv().await.unwrap().grant_websocket().await;
    client.head().await;

    process.signal(Signal::TERM);
    process.line("stopping").await;
    let outcome = folder.run(&["health"]).await;
    outcome.is_failure_with(1, &["stopping"]);
    let outcome = folder.run(&["reload"]).await;
    outcome.is_failure_with(1, &["the proxy is stopping"]);
}

#[tokio::test]
async fn a_stranger_is_turned_away_though_the_socket_were_open_to_all() {
    if !geteuid().is_root() {
        eprintln!("skipped: nobody but root can become somebody else");
        return;
    }
    let folder = Folder::new();
    folder.configure(nobody(), "[admin]\nsocket = \"own.sock\"");
    let mut process = folder.start(&[]);
    process.line("to pool main").await;
    let path = folder.path().join("own.sock");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();

    let refused = as_nobody(&folder, &path).await;
    assert!(
        refused.contains("its own user and root alone may"),
        "{refused}"
    );
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let refused = as_nobody(&folder, &path).await;
    assert!(refused.starts_with("no answer at"), "{refused}");
    process.line("a stranger at the socket for orders").await;
    assert_eq!(folder.run(&["health"]).await.code, Some(0));
}

#[tokio::test]
async fn a_stop_that_comes_while_the_proxy_starts_is_heard() {
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let text = fs::read(folder.path().join("proxy.toml")).unwrap();
    let pipe = folder.path().join("pipe.toml");
    make_fifo(&pipe);
    let process = folder.start(&["--config", "pipe.toml"]);
    // This waits until the other end is read from: the proxy starts.
    let opened = spawn_blocking(move || OpenOptions::new().write(true).open(pipe));
    let mut file = opened.await.unwrap().unwrap();
    process.signal(Signal::TERM);
    file.write_all(&text).unwrap();
    drop(file);
    let (code, log) = process.ended().await;
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(log.last().unwrap().contains("stopped"), "{log:#?}");
}

#[tokio::test]
async fn the_first_process_of_a_container_reaps_orphans() {
    const CONTAINER: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let can = Command::new("unshare")
        .args(CONTAINER)
        .arg("true")
        .output()
        .await;
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this user can make no container");
        return;
    }
    let folder = Folder::new();
    folder.configure(nobody(), "");
    let pipe = folder.path().join("pipe");
    make_fifo(&pipe);
    // The orphan lives until it can read a line.
    let script = format!(
        "exec unshare {} sh -c '(read line < pipe &); exec \"$@\"' sh \"$@\"",
        CONTAINER.join(" ")
    );
    let mut process = folder.start_by(&script, |_| {});
    process.line("to pool main").await;
    let first = children(process.id())[0];
    assert_eq!(children(first).len(), 1, "the orphan is its child now");
    fs::write(&pipe, "\n").unwrap();
    until(|| children(first).is_empty()).await;

    // As the first process it hears only what it listens for.
    let first = Pid::from_raw(first.cast_signed()).unwrap();
    kill_process(first, Signal::TERM).unwrap();
    let (code, log) = process.ended().await;
    assert_eq!(code, Some(0), "{log:#?}");
}

/// Where there is nobody.
const NOBODY: [&str; 1] = ["127.0.0.1:1"];

/// An address at which there is nobody.
fn nobody() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

fn door(path: &Path) -> Door {
    let admin = Admin {
        socket: AdminSocket::At(path.to_owned()),
        listen: None,
        ..Admin::default()
    };
    Door::bind(&admin, None, &mut Inherited::default()).unwrap()
}

/// Where the proxy says that its socket is.
async fn socket_of(process: &mut Process) -> PathBuf {
    let line = process.line("orders are taken at ").await;
    let (_, path) = line.split_once("taken at ").unwrap();
    path.into()
}

/// What the program says to another user, who has no rights, and asks whether the proxy is ready.
async fn as_nobody(folder: &Folder, socket: &Path) -> String {
    // Who may not get at the program where it was built may here.
    let program = folder.path().join("longwire");
    fs::copy(env!("CARGO_BIN_EXE_longwire"), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command
        .arg(program)
        .args(["health", "--socket"])
        .arg(socket);
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

fn make_fifo(path: &Path) {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}
