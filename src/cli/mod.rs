//! What the user says on the command line.

mod client;
mod orders;
mod source;
mod speech;
mod top;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use self::{
    orders::Order,
    source::{File, Source},
    speech::{Unheard, say},
};

/// A WebSocket-aware reverse proxy and load balancer, made for connections that live long.
///
/// It accepts HTTP and WebSocket clients on its listeners, with or without TLS, chooses a backend
/// for each, brings returning clients back to the same one, and keeps watch over every WebSocket as
/// long as it lives.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,

    /// Only check the configuration: the same as `longwire check`.
    #[arg(short = 't', conflicts_with = "options")]
    test: bool,

    #[command(flatten)]
    run: Source,
}

const EXAMPLES: &str = "\
Examples:
  longwire                                  run with ./proxy.toml
  longwire run --config /etc/longwire.toml  run with another file
  longwire check                            say what is wrong with ./proxy.toml, if anything
  longwire run --listen 127.0.0.1:8080 \\
      --backend 127.0.0.1:9001 --backend 127.0.0.1:9002 --affinity cookie
                                            run without a file
  longwire reload                           have the proxy that runs with ./proxy.toml read it again
  longwire status --socket PATH             how is the proxy that listens there?
  longwire tunnels --admin URL --json       the tunnels of one that may be anywhere, for a program

Exit codes: 0 all is well, 1 the configuration is wrong, or the proxy cannot run or do what it is
asked, 2 the command line is wrong.
Signals: SIGTERM or SIGINT stops gracefully, a second one at once; SIGHUP reloads, SIGUSR2 upgrades.
Environment: LONGWIRE_TOKEN is shown with --admin; NO_COLOR takes the colours away.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy: from a configuration file, or from these options alone.
    #[command(after_help = EXAMPLES)]
    Run(Source),
    /// Check a configuration file, and show every problem in it.
    Check(File),
    #[command(flatten)]
    Order(Order),
    /// Print what makes a shell complete these commands.
    #[command(after_help = "\
Example:
  longwire completions bash > /etc/bash_completion.d/longwire")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// What to do.
pub(crate) enum Task {
    /// Serve.
    Run(Source),
    /// Say whether the file is right.
    Check(File),
    /// Speak to the running proxy.
    Order(Order),
    /// Say how a shell completes the commands.
    Complete(Shell),
}

impl CommandLine {
    /// What the user wants done.
    pub(crate) fn task(self) -> Task {
        match self.command {
            None if self.test => Task::Check(self.run.file),
            None => Task::Run(self.run),
            Some(Command::Run(source)) => Task::Run(source),
            Some(Command::Check(file)) => Task::Check(file),
            Some(Command::Order(order)) => Task::Order(order),
            Some(Command::Completions { shell }) => Task::Complete(shell),
        }
    }
}

/// What makes a shell complete the commands.
pub(crate) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "longwire", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
