use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use super::terminal::Terminal;

/// A folder in which the real program is run. It is gone when dropped.
pub(crate) struct Folder {
    folder: TempDir,
}

/// The real program, running. It is killed when dropped, with all others of its group.
pub(crate) struct Process {
    child: Child,
    group: Option<Group>,
    stderr: Option<Lines<BufReader<ChildStderr>>>,
    /// The lines that it has logged, as far as they were read.
    pub(crate) log: Vec<String>,
}

/// A group of processes. They are killed when it is dropped.
struct Group(Pid);

/// What a program that has ended has left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` if a signal has ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes a `proxy.toml` that listens on a port of the system's choice, for one backend.
    pub(crate) fn configure(&self, backend: SocketAddr, rest: &str) {
        self.write(
            "proxy.toml",
            &format!(
                "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"main\"\n\
                 [pool.main]\nbackends = [\"{backend}\"]\n{rest}"
            ),
        );
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.program(arguments)).await
    }

    /// Runs a command for the proxy at `door.sock` in this folder.
    pub(crate) async fn ask(&self, arguments: &[&str]) -> Outcome {
        let door = ["--socket", "door.sock"];
        self.run(&[arguments, &door].concat()).await
    }

    /// Runs the program, which is `"$@"`, by a script of the shell, to its end.
    pub(crate) async fn run_by(&self, script: &str, arguments: &[&str]) -> Outcome {
        let mut shell = self.prepared("sh");
        shell.args(["-c", script, "sh", PROGRAM]).args(arguments);
        Outcome::of(shell).await
    }

    /// Runs a command for the proxy at `door.sock` in this folder, on a terminal of that size.
    pub(crate) fn terminal(&self, size: (u16, u16), arguments: &[&str]) -> Terminal {
        Terminal::running(self.command_on_a_terminal(arguments), size)
    }

    /// The same on an ordinary one, with a variable in its environment.
    pub(crate) fn terminal_with(&self, variable: (&str, &str), arguments: &[&str]) -> Terminal {
        let mut command = self.command_on_a_terminal(arguments);
        command.env(variable.0, variable.1);
        Terminal::running(command, (80, 24))
    }

    /// Runs the program to its end, with a variable in its environment.
    pub(crate) async fn run_with(&self, variable: (&str, &str), arguments: &[&str]) -> Outcome {
        let mut command = self.program(arguments);
        command.env(variable.0, variable.1);
        Outcome::of(command).await
    }

    /// Starts the program.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::spawn(self.program(arguments))
    }

    /// Starts the program with at most as many open files.
    pub(crate) fn start_with_open_files(&self, limit: usize, arguments: &[&str]) -> Process {
        self.start_by(&format!("ulimit -n {limit}; exec \"$@\""), |shell| {
            shell.args(arguments);
        })
    }

    /// Starts the program, which is `"$@"`, by a script of the shell, with what `prepare` adds to
    /// its command.
    pub(crate) fn start_by(&self, script: &str, prepare: impl FnOnce(&mut Command)) -> Process {
        let mut shell = self.prepared("sh");
        shell.args(["-c", script, "sh", PROGRAM]);
        prepare(&mut shell);
        Process::spawn(shell)
    }

    /// Starts it in the same way, in a group of its own, in which are all that take over from it.
    pub(crate) fn start_group_by(
        &self,
        script: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> Process {
        let mut process = self.start_by(script, |command| {
            command.process_group(0);
            prepare(command);
        });
        process.group = Pid::from_raw(process.id().cast_signed()).map(Group);
        process
    }

    /// In a session of its own, in which no other terminal can be found than the one that it gets.
    fn command_on_a_terminal(&self, arguments: &[&str]) -> Command {
        let mut command = self.prepared("setsid");
        command.arg(PROGRAM).args(arguments);
        command.args(["--socket", "door.sock"]);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.prepared(PROGRAM);
        command.args(arguments);
        command
    }

    fn prepared(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            // Its usual socket goes with the folder, and no service manager but a test's is told.
            .env_remove("RUNTIME_DIRECTORY")
            .env("XDG_RUNTIME_DIR", self.path())
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Outcome {
    async fn of(mut command: Command) -> Self {
        let output = command.output().await.unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It ended well, and said each of these on stdout.
    pub(crate) fn is_success_with(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(0), "{self:?}");
        for part in parts {
            assert!(self.stdout.contains(part), "no {part:?} in {}", self.stdout);
        }
    }

    /// What it has said on stdout, as JSON, in one line.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// It ended with this code, said each of these on stderr, and nothing on stdout.
    pub(crate) fn is_failure_with(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "");
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {}", self.stderr);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Maybe nobody is left.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

/// A configuration file with two problems.
pub(crate) const WRONG: &str = "\
[[listener]]
address = \"nonsense\"
[[route]]
pool = \"main\"
path = \"no-slash\"
[pool.main]
backends = [\"127.0.0.1:9001\"]
";

/// A program that is silent for so long hangs: the test fails instead of hanging with it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_longwire");

impl Process {
    fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        Self {
            child,
            group: None,
            stderr: Some(BufReader::new(stderr).lines()),
            log: Vec::new(),
        }
    }

    /// The address that it says it listens on.
    pub(crate) async fn address(&mut self) -> SocketAddr {
        let line = self.line("listening on http").await;
        let (_, rest) = line.split_once("://").unwrap();
        let end = rest.find(|c: char| c != ':' && c != '.' && !c.is_ascii_digit());
        rest[..end.unwrap_or(rest.len())].parse().unwrap()
    }

    /// The next line that it logs with `part` in it.
    pub(crate) async fn line(&mut self, part: &str) -> String {
        loop {
            let line = self.next_line().await;
            let line = line.unwrap_or_else(|| panic!("no {part:?} in {:#?}", self.log));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The next event that it logs, as JSON, with that message.
    pub(crate) async fn event(&mut self, message: &str) -> Value {
        loop {
            let line = self.line(message).await;
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["message"] == message {
                return event;
            }
        }
    }

    /// Closes the reading end of its log, and gives up what is left of it.
    pub(crate) fn close_log(&mut self) {
        self.stderr = None;
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for its own end, though others may still write to its log, and gives its exit code.
    pub(crate) async fn left(&mut self) -> Option<i32> {
        loop {
            let logging = async {
                match &mut self.stderr {
                    Some(stderr) => stderr.next_line().await.unwrap(),
                    None => None,
                }
            };
            tokio::select! {
                status = timeout(PATIENCE, self.child.wait()) => {
                    return status.expect("it ends").unwrap().code();
                }
                Some(line) = logging => self.log.push(line),
            }
        }
    }

    /// Waits for its end, and gives its exit code, while nobody reads its log.
    pub(crate) async fn left_unread(&mut self) -> Option<i32> {
        let status = timeout(PATIENCE, self.child.wait()).await;
        status.expect("it ends").unwrap().code()
    }

    /// Waits for its end, and gives its exit code and everything that it has logged, together with
    /// all others that it has let write there.
    pub(crate) async fn ended(mut self) -> (Option<i32>, Vec<String>) {
        while self.next_line().await.is_some() {}
        let status = self.child.wait().await.unwrap();
        (status.code(), self.log)
    }

    async fn next_line(&mut self) -> Option<String> {
        let line = self.stderr.as_mut()?.next_line();
        let line = timeout(PATIENCE, line).await.expect("it says nothing more");
        let line = line.unwrap()?;
        self.log.push(line.clone());
        Some(line)
    }

    /// Stops it, and gives everything that it has logged.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.signal(Signal::TERM);
        let (code, log) = self.ended().await;
        assert_eq!(code, Some(0), "{log:#?}");
        log
    }
}
