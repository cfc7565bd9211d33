use std::{
    fs,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::Command,
};

use super::process::{Folder, PROGRAM, Process};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The real program in a process that has taken over from another, and is no child of this one. It
/// is killed with the group of the first.
pub(crate) struct Heir {
    id: u32,
    /// The process itself, not whichever has its number.
    process: OwnedFd,
}

impl Folder {
    /// Puts the program into the folder, or in the place of what lies there in its place, as a
    /// package manager does.
    pub(crate) fn install(&self) {
        self.put("ln \"$1\" next 2>/dev/null || cp \"$1\" next", PROGRAM);
    }

    /// Puts a script of the shell in the program's place.
    pub(crate) fn install_script(&self, script: &str) {
        let script = format!("#!/bin/sh\n{script}\n");
        self.put("printf %s \"$1\" >next; chmod 755 next", &script);
    }

    /// Puts what cannot be run in the program's place.
    pub(crate) fn install_nothing(&self) {
        self.put("printf %s \"$1\" >next; chmod 644 next", "");
    }

    /// Another process writes it: one that a test starts meanwhile would hold the file open for
    /// writing for a moment, and then it cannot be run.
    fn put(&self, how: &str, what: &str) {
        let mut shell = Command::new("sh");
        shell.current_dir(self.path()).arg0("sh").args([
            "-c",
            &format!("{how}; rm -f longwire; mv next longwire"),
            "sh",
            what,
        ]);
        assert!(shell.status().unwrap().success());
    }

    /// Starts the program that lies in the folder.
    pub(crate) fn start_installed(&self) -> Process {
        self.start_group_by("exec ./longwire", |_| {})
    }

    /// Has another process take over.
    pub(crate) async fn upgrade(&self) -> Heir {
        let outcome = self.run(&["upgrade"]).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        Heir::named_in(&outcome.stdout)
    }
}

impl Heir {
    /// The process that `text` says has taken over.
    pub(crate) fn named_in(text: &str) -> Self {
        let (_, id) = text.split_once("has taken over as process ").unwrap();
        let id = id.trim_end().parse().unwrap();
        let process = pidfd_open(Pid::from_raw(id).unwrap(), PidfdFlags::empty()).unwrap();
        Self {
            id: id.cast_unsigned(),
            process,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.process, signal).unwrap();
    }

    /// Whether it still runs.
    pub(crate) fn lives(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.id)).is_ok_and(|stat| {
            let (_, state) = stat.rsplit_once(") ").unwrap();
            !state.starts_with('Z')
        })
    }
}

/// The children of a process, also those that have ended and that it has not taken note of.
pub(crate) fn children(process: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    list.split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}
