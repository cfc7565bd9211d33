//! `[admin]`

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    address::listened,
    field::Field,
    reading::Reported,
    section::Section,
    surroundings::Surroundings,
    values::{non_empty, or_off},
    whole,
};

/// `[admin]`: the operator's door.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admin {
    /// The Unix socket at which commands are taken. Default: one that goes with the file.
    pub socket: AdminSocket,
    /// The address at which probes are told whether the proxy lives and is ready; port 0 lets the
    /// system choose. Default: none.
    pub listen: Option<SocketAddr>,
}

/// `socket`: where commands are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AdminSocket {
    /// Where the commands look for a proxy that runs with the same configuration file.
    #[default]
    Usual,
    /// At this path.
    At(PathBuf),
    /// Nowhere.
    Off,
}

impl Admin {
    /// Reads this section alone of the file at `path`, as well as it can be read: whatever is wrong
    /// with the file, the proxy that runs with it has to be found.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be read.
    pub fn load(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        Ok(whole::admin(&text, &Surroundings::real(base)))
    }

    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        Ok(Self {
            socket: section.or("socket", socket, AdminSocket::default()),
            listen: section.or("listen", |field| listened(field).map(Some), None),
        })
    }
}

fn socket(field: &Field<'_>) -> Result<AdminSocket, Reported> {
    let at = |field: &Field<'_>| {
        let path = non_empty(field, "the path of a Unix socket")?;
        Ok(AdminSocket::At(field.resolve(path)))
    };
    Ok(or_off(field, at)?.unwrap_or(AdminSocket::Off))
}
