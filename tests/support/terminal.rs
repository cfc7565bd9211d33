use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::{
    process::{Child, Command},
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// A program on a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    shown: Arc<Mutex<String>>,
}

/// What is awaited on it for so long does not come.
const PATIENCE: Duration = Duration::from_secs(20);

impl Terminal {
    /// Runs `command` on a terminal of that size.
    pub(super) fn running(mut command: Command, (columns, rows): (u16, u16)) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let theirs = ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).unwrap();
        let end = |theirs: &OwnedFd| Stdio::from(theirs.try_clone().unwrap());
        command.stdin(end(&theirs));
        command.stdout(end(&theirs)).stderr(end(&theirs));
        let child = command.spawn().unwrap();
        let shown = Arc::default();
        spawn_blocking({
            let (screen, shown) = (File::from(ours.try_clone().unwrap()), Arc::clone(&shown));
            move || read(screen, &shown)
        });
        Self {
            child,
            keyboard: File::from(ours),
            shown,
        }
    }

    /// Everything that was ever shown, as the program has written it.
    pub(crate) fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits until it has shown `part`.
    pub(crate) async fn shows(&self, part: &str) {
        let shown = async {
            while !self.shown().contains(part) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let shown = timeout(PATIENCE, shown).await;
        assert!(shown.is_ok(), "no {part:?} in {}", self.shown());
    }

    /// Types something.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// The number of the program's process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits for the end of the program, and gives its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let status = timeout(PATIENCE, self.child.wait()).await;
        status.expect("it ends").unwrap().code()
    }
}

/// Until the last who could write is gone.
fn read(mut screen: File, shown: &Mutex<String>) {
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = screen.read(&mut piece) {
        let text = String::from_utf8_lossy(&piece[..length]);
        shown.lock().unwrap().push_str(&text);
    }
}
