//! Processes that are started to take over.

use std::{
    env, fs,
    io::{self, Read},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsFd,
        unix::{fs::symlink, net},
    },
    path::Path,
    pin::pin,
    process,
};

use futures_util::poll;
use rustix::process::{Pid, Resource, getrlimit, setrlimit, test_kill_process};
use serde_json::{Value, json};
use tokio::task::yield_now;

use super::rig::{Files, one_way};
use crate::handover::{
    Channel, Error, Fate, PredecessorError, Program, StartError, Successor,
    predecessor::{checked, is_trusted, predecessor},
    program::path_of,
};

/// A process that runs a script. Its standard input is the channel.
fn script(text: &str) -> Program {
    Program::new("/bin/sh", ["-c", text])
}

/// It says whatever it hears, and so greets those who greet it, until the channel ends.
const ECHO: &str = "exec cat >&0";

/// It neither speaks nor ends.
const HANG: &str = "exec sleep 600";

fn exists(successor: u32) -> bool {
    let id = Pid::from_raw(i32::try_from(successor).unwrap()).unwrap();
    test_kill_process(id).is_ok()
}

/// Waits until a process has ended and was reaped.
async fn is_gone(id: u32) {
    for _ in 0..10_000_000 {
        if !exists(id) {
            return;
        }
        yield_now().await;
    }
    panic!("it still exists");
}

fn refusal(started: Result<(Channel, Successor), StartError>) -> StartError {
    match started {
        Ok(_) => panic!("it is started"),
        Err(error) => error,
    }
}

/// An argument that skips no test, and by which a process knows that the next one has started it.
const ROLE: &str = "--skip=none at all";

#[tokio::test]
async fn the_program_is_started_again_with_a_channel_in_the_place_of_its_standard_input() {
    if env::args().any(|argument| argument == ROLE) {
        take_over().await;
    }
    let name = "the_program_is_started_again_with_a_channel_in_the_place_of_its_standard_input";
    let arguments = ["--exact", &*full(name), "--nocapture", ROLE];
    let program = Program::new(env::current_exe().unwrap(), arguments);

    let (channel, successor) = program.start_again().unwrap();

    let (_sender, mut receiver, _) = channel.greet().await.unwrap();
    let report = receiver.receive::<Value>().await.unwrap().unwrap().value;
    assert_eq!(report["id"], successor.id());
    assert_eq!(report["arguments"], json!(arguments));
    assert_eq!(report["folder"], json!(env::current_dir().unwrap()));
    assert_eq!(report["bytes on stdin"], 0);
    assert_eq!(report["is told again"], false);
    assert_eq!(report["sockets of its child"], "0");
    assert!(receiver.receive::<Value>().await.unwrap().is_none());
    assert!(matches!(successor.give_up().await, Fate::Ended(status) if status.code() == Some(7)));
}

/// Reports what this process was given, and ends.
async fn take_over() {
    let channel = predecessor().unwrap().unwrap();
    let (mut sender, ..) = channel.greet().await.unwrap();
    let mut rest = Vec::new();
    let count = ["-c", "ls -l /proc/self/fd | grep -c socket"];
    let child = process::Command::new("/bin/sh")
        .args(count)
        .output()
        .unwrap();
    let report = json!({
        "id": process::id(),
        "arguments": env::args().skip(1).collect::<Vec<_>>(),
        "folder": env::current_dir().unwrap(),
        "bytes on stdin": io::stdin().read_to_end(&mut rest).unwrap(),
        "is told again": predecessor().unwrap().is_some(),
        "sockets of its child": String::from_utf8(child.stdout).unwrap().trim(),
    });
    sender.send(&report, &[]).await.unwrap();
    process::exit(7);
}

/// How the test of that name here is called on the command line.
fn full(test: &str) -> String {
    let (_, path) = module_path!().split_once("::").unwrap();
    format!("{path}::{test}")
}

#[test]
fn the_program_that_runs_knows_how_it_was_started() {
    let program = Program::running().unwrap();
    let own = env::current_exe().unwrap();
    assert_eq!(fs::canonicalize(&program.path).unwrap(), own);
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    assert_eq!(program.arguments, arguments);
}

/// Set where a test runs in a process of its own.
const ALONE: &str = "LONGWIRE_TEST_ALONE";

/// Whether the test of that name runs in a process of its own, where it disturbs no other. If it
/// does not, it does so now.
fn runs_alone(test: &str) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let output = process::Command::new(env::current_exe().unwrap())
        .args(["--exact", &full(test)])
        .env(ALONE, "")
        .output();
    let told = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(told.contains("1 passed"), "{told}");
    false
}

#[tokio::test]
async fn files_for_which_there_is_no_room_are_missed_and_those_of_later_frames_come() {
    if !runs_alone("files_for_which_there_is_no_room_are_missed_and_those_of_later_frames_come") {
        return;
    }
    let files = Files::new(1);
    let (mut sender, mut receiver) = one_way();
    sender.send("", &files.some(60)).await.unwrap();
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(50);
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut next = async || receiver.receive::<String>().await.unwrap().unwrap();

    let some = next().await;
    assert!(some.missing > 0 && !some.descriptors.is_empty());
    assert_eq!(some.missing + some.descriptors.len(), 60);

    // There is room again between the beginning of the second frame and its end.
    let long = "more than the channel holds".repeat(100_000);
    let mut sending = pin!(async {
        sender.send(&long, &files.some(2)).await.unwrap();
        sender.send("", &files.some(2)).await.unwrap();
    });
    assert!(poll!(&mut sending).is_pending());
    assert!(poll!(pin!(next())).is_pending());
    drop(some);
    let ((), none) = tokio::join!(sending, next());
    assert_eq!((none.missing, none.descriptors.len()), (2, 0));
    let all = next().await;
    assert_eq!((all.missing, all.descriptors.len()), (0, 2));
}

#[tokio::test]
async fn a_process_that_ends_is_noticed_and_its_status_is_told() {
    let (channel, successor) = script("exit 3").start_again().unwrap();
    let error = channel.greet().await.unwrap_err();
    assert!(
        matches!(error, Error::LeftSilently | Error::Io(_)),
        "{error:?}"
    );
    let fate = successor.give_up().await;
    assert_eq!(fate.to_string(), "it has ended with exit status: 3");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_hangs_is_killed_and_leaves_no_zombie() {
    let (channel, successor) = script(HANG).start_again().unwrap();
    let id = successor.id();
    assert!(exists(id));
    drop(channel);
    assert!(matches!(successor.give_up().await, Fate::Killed));
    assert!(!exists(id));
}

#[tokio::test]
async fn a_process_that_nobody_waits_for_any_more_is_killed() {
    let (_channel, successor) = script(HANG).start_again().unwrap();
    let id = successor.id();
    drop(successor);
    is_gone(id).await;
}

#[tokio::test]
async fn a_process_that_is_ready_lives_on_and_leaves_no_zombie() {
    let (channel, mut successor) = script(ECHO).start_again().unwrap();
    let id = successor.id();
    successor.let_live();
    drop(successor);
    let (mut sender, mut receiver, _) = channel.greet().await.unwrap();
    sender.send("do you live?", &[]).await.unwrap();
    let answer = receiver.receive::<String>().await.unwrap().unwrap();
    assert_eq!(answer.value, "do you live?");
    drop(sender);
    is_gone(id).await;
}

#[tokio::test]
async fn there_is_one_successor_at_a_time() {
    let program = script(ECHO);
    let (channel, successor) = program.start_again().unwrap();
    assert!(matches!(
        refusal(program.start_again()),
        StartError::UnderWay
    ));

    drop(channel);
    successor.give_up().await;
    let (_channel, mut successor) = program.start_again().unwrap();
    successor.let_live();
    assert!(matches!(
        refusal(program.start_again()),
        StartError::Succeeded
    ));

    // It fails in spite of all.
    drop(_channel);
    successor.give_up().await;
    let (_channel, successor) = program.start_again().unwrap();
    drop(successor);
    assert!(program.start_again().is_ok());
}

#[tokio::test]
async fn one_that_stops_starts_none() {
    let program = script(ECHO);
    let (channel, successor) = program.start_again().unwrap();
    program.retire();
    assert!(matches!(
        refusal(program.start_again()),
        StartError::Stopping
    ));
    drop(channel);
    successor.give_up().await;
    assert!(matches!(
        refusal(program.start_again()),
        StartError::Stopping
    ));
}

#[tokio::test]
async fn the_first_process_of_a_container_starts_none() {
    let refused = script(ECHO).attempt(1).unwrap_err();
    assert!(matches!(refused, StartError::First));
    assert!(refused.to_string().contains("container"), "{refused}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_and_may_be_tried_again() {
    let program = Program::new("/there/is/none", [""; 0]);
    for _ in 0..2 {
        let refused = refusal(program.start_again());
        assert_eq!(refused.to_string(), "cannot start /there/is/none");
    }
}

#[test]
fn a_link_that_the_program_was_called_by_is_followed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let folder = fs::canonicalize(folder.path()).unwrap();
    let (file, link) = (folder.join("longwire-1"), folder.join("longwire"));
    fs::write(&file, "").unwrap();
    fs::write(folder.join("other"), "").unwrap();
    symlink(&file, &link).unwrap();

    let path = |name: &Path| path_of(file.clone(), name);
    assert_eq!(path(&link), link);
    assert_eq!(path(&file), file);
    // Found by a search, or called by a name that is not its own.
    assert_eq!(path(Path::new("longwire")), file);
    assert_eq!(path(&folder.join("other")), file);
    assert_eq!(path(&folder.join("none")), file);
}

#[test]
fn only_a_connected_unix_stream_is_a_channel() {
    let (one, _other) = net::UnixStream::pair().unwrap();
    assert!(checked(one.into()).is_ok());

    let (one, _other) = net::UnixDatagram::pair().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listener = net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    let file = fs::File::open("/dev/null").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for other in [
        one.as_fd(),
        listener.as_fd(),
        stream.as_fd(),
        file.as_fd(),
        udp.as_fd(),
    ] {
        let other = other.try_clone_to_owned().unwrap();
        assert!(matches!(checked(other), Err(PredecessorError::NoChannel)));
    }
}

#[test]
fn root_and_the_same_user_may_hand_over_and_nobody_else() {
    assert!(is_trusted(1000, 1000));
    assert!(is_trusted(0, 1000));
    assert!(!is_trusted(1001, 1000));
    assert!(!is_trusted(1000, 0));
}
