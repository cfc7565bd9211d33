//! What is allowed, and may yet not be meant.

use super::{Admin, Config, Pool};

impl Config {
    /// What whoever runs the proxy should know before he relies on it, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let of_admin = token_in_the_clear(&self.admin);
        let of_pools = self.pools.iter().filter_map(unverified);
        of_admin.into_iter().chain(of_pools).collect()
    }
}

fn unverified(pool: &Pool) -> Option<String> {
    let is_unverified = pool.tls.as_ref()?.authorities.is_none();
    is_unverified.then(|| {
        format!(
            "pool `{}`: with tls.verify = \"off\" whoever is on the way may pose as its backends",
            pool.name
        )
    })
}

fn token_in_the_clear(admin: &Admin) -> Option<String> {
    let listen = admin
        .listen
        .filter(|listen| !listen.ip().to_canonical().is_loopback())?;
    let is_in_the_clear = admin.token.is_some() && admin.tls.is_none();
    is_in_the_clear.then(|| {
        format!(
            "the token of [admin] goes over plain TCP to {listen}: whoever is on the way can read it \
             and give orders; set admin.tls, or listen on a loopback address"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn warnings(admin: &str) -> Vec<String> {
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"p\"\n[pool.p]\n\
             backends = [\"127.0.0.1:9001\"]\n[admin]\n{admin}\n"
        );
        Config::parse(&text, "test", Path::new(""))
            .unwrap()
            .warnings()
    }

    #[test]
    fn a_token_that_others_can_read_is_warned_about() {
        let token = "token = \"0123456789abcdef\"";
        for listen in ["0.0.0.0:9090", "192.0.2.1:9090", "[::]:9090"] {
            let told = warnings(&format!("listen = \"{listen}\"\n{token}"));
            assert!(told[0].contains(listen), "{told:?}");
            assert!(!told[0].contains("0123456789abcdef"), "{told:?}");
        }
        for listen in ["127.0.0.1:9090", "[::1]:9090"] {
            let told = warnings(&format!("listen = \"{listen}\"\n{token}"));
            assert_eq!(told, [""; 0]);
        }
        assert_eq!(warnings(""), [""; 0]);
    }
}
