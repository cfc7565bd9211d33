//! `[admin]`

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use toml::Spanned;

use super::{
    address::listened,
    diagnostics::Problem,
    field::Field,
    listener::ListenerTls,
    reading::Reported,
    secret::Token,
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
    /// The address at which operators and probes are answered; port 0 lets the system choose. One
    /// that others than this machine can reach has a token. Default: none.
    pub listen: Option<SocketAddr>,
    /// What operators show there; `None` lets everybody on this machine in.
    pub token: Option<Token>,
    /// How TLS is spoken there; `None` is plain.
    pub tls: Option<ListenerTls>,
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
        let socket = section.or("socket", socket, AdminSocket::default());
        let listen = section.optional("listen", |field| field.placed(listened));
        let token = Token::read(section);
        let tls = section.optional("tls", |field| field.table(ListenerTls::read));
        // What is wrong is noted, and the rest may be all that is wanted.
        let listen = listen.unwrap_or_default();
        if let (Some(listen), Ok(None)) = (&listen, &token)
            && !listen.get_ref().ip().is_loopback()
        {
            refuse_to_all(section, listen);
        }
        Ok(Self {
            socket,
            listen: listen.map(Spanned::into_inner),
            token: token.unwrap_or_default(),
            tls: tls.unwrap_or_default(),
        })
    }
}

/// An address that others can reach is for those alone who show something.
fn refuse_to_all(section: &Section<'_>, listen: &Spanned<SocketAddr>) {
    let message = format!(
        "everybody who can reach {} could give orders",
        listen.get_ref()
    );
    let problem = Problem::at(listen.span(), message)
        .expecting("expected a `token` beside it, or a loopback address such as \"127.0.0.1:9090\"")
        .helping(
            "probes are answered without it; `token_env = \"LONGWIRE_TOKEN\"` keeps it out of the file",
        );
    section.report_absence_beside("token", problem);
}

fn socket(field: &Field<'_>) -> Result<AdminSocket, Reported> {
    let at = |field: &Field<'_>| {
        let path = non_empty(field, "the path of a Unix socket")?;
        Ok(AdminSocket::At(field.resolve(path)))
    };
    Ok(or_off(field, at)?.unwrap_or(AdminSocket::Off))
}
