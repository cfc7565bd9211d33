//! What the system says of this process.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use procfs::{Current, ProcResult, Uptime, page_size, process, ticks_per_second};
use rustix::process::{Resource, getrlimit};

/// What the system says of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// CPU time that it has spent itself.
    pub user: Duration,
    /// CPU time that the system has spent on its behalf.
    pub system: Duration,
    /// Memory that it holds, in bytes.
    pub resident_memory: u64,
    /// Its open files.
    pub open_files: u64,
    /// How many it may have; `None` is no limit.
    pub max_open_files: Option<u64>,
    /// Its threads.
    pub threads: u64,
    /// When it was started.
    pub started_at: SystemTime,
}

impl Process {
    /// This process, as it is now; `None` if the system does not say.
    #[must_use]
    pub fn now() -> Option<Self> {
        Self::read().ok()
    }

    fn read() -> ProcResult<Self> {
        let own = process::Process::myself()?;
        let stat = own.stat()?;
        Ok(Self {
            user: ticks(stat.utime),
            system: ticks(stat.stime),
            resident_memory: stat.rss * page_size(),
            open_files: own.fd_count()? as u64,
            max_open_files: getrlimit(Resource::Nofile).current,
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            started_at: started_at(stat.starttime)?,
        })
    }
}

/// When the process was started, `since` the system was, in ticks. It is worked out once: the clock
/// may be set later.
fn started_at(since: u64) -> ProcResult<SystemTime> {
    static STARTED: OnceLock<SystemTime> = OnceLock::new();
    if let Some(started) = STARTED.get() {
        return Ok(*started);
    }
    let uptime = Uptime::current()?.uptime_duration();
    let age = uptime.saturating_sub(ticks(since));
    let now = SystemTime::now();
    Ok(*STARTED.get_or_init(|| now.checked_sub(age).unwrap_or(now)))
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, hint::black_box, thread};

    use super::*;

    #[test]
    fn the_system_knows_what_this_process_does() {
        let before = Process::now().unwrap();
        let files: Vec<_> = (0..50).map(|_| File::open("/dev/null").unwrap()).collect();
        let memory = black_box(vec![1_u8; 64 << 20]);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let waiting = thread::spawn(move || ended.recv());
        let mut now = Process::now().unwrap();
        assert!(now.open_files >= 50 + 3);
        assert!(now.threads >= 2);
        assert!(now.resident_memory >= 64 << 20);
        assert!(now.max_open_files.is_none_or(|max| max > now.open_files));
        while now.user + now.system < before.user + before.system + Duration::from_millis(30) {
            black_box(memory.iter().map(|byte| u64::from(*byte)).sum::<u64>());
            now = Process::now().unwrap();
        }
        let age = SystemTime::now().duration_since(now.started_at).unwrap();
        assert!(age < Duration::from_secs(3_600), "{age:?}");
        assert_eq!(now.started_at, before.started_at);
        drop((files, end));
        assert!(waiting.join().unwrap().is_err());
    }
}
