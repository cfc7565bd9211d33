//! The program as a user meets it: what it says, and with which exit code.

use std::path::Path;

use tokio::net::TcpListener;

use crate::support::{Authority, Backend, Client, Folder, TlsClient, WRONG};

#[tokio::test]
async fn check_says_that_the_documented_configuration_is_valid() {
    let documented = concat!(env!("CARGO_MANIFEST_DIR"), "/proxy.toml");
    for arguments in [
        ["check", "--config", documented],
        ["-t", "--config", documented],
    ] {
        let outcome = Folder::new().run(&arguments).await;
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(
            outcome.stdout.contains("proxy.toml is valid"),
            "{outcome:?}"
        );
        assert_eq!(outcome.stderr, "");
    }
}

#[tokio::test]
async fn a_wrong_file_is_refused_with_all_its_problems_and_their_places() {
    let folder = Folder::new();
    folder.write("proxy.toml", WRONG);
    for arguments in [&["check"][..], &["-t"], &["run"], &[]] {
        let outcome = folder.run(arguments).await;
        outcome.is_failure_with(
            1,
            &["proxy.toml:2:11", "nonsense", "proxy.toml:5:8", "no-slash"],
        );
    }
}

#[tokio::test]
async fn a_file_takes_values_from_the_environment() {
    let folder = Folder::new();
    folder.write("proxy.toml", &WRONG.replace("no-slash", "${LONGWIRE_PATH}"));
    folder.write(
        "right.toml",
        &WRONG
            .replace("nonsense", "127.0.0.1:${LONGWIRE_PORT:-8080}")
            .replace("no-slash", "${LONGWIRE_PATH}"),
    );

    let unset = folder.run(&["check"]).await;
    let place = ["proxy.toml:5:9", "`LONGWIRE_PATH` is not set"];
    unset.is_failure_with(1, &place);
    let arguments = ["check", "--config", "right.toml"];
    let set = folder
        .run_with(("LONGWIRE_PATH", "/chat"), &arguments)
        .await;
    assert_eq!(set.code, Some(0), "{set:?}");
    let wrong = folder.run_with(("LONGWIRE_PATH", "chat"), &arguments).await;
    wrong.is_failure_with(1, &["right.toml:5:8", "expands to `chat`"]);
}

#[tokio::test]
async fn options_are_taken_as_they_are() {
    let options = ["--listen", "127.0.0.1:0", "--backend", "${HOME}:1"];
    let outcome = Folder::new().run(&options).await;
    outcome.is_failure_with(1, &["`${HOME}:1` is no backend"]);
    assert!(!outcome.stderr.contains("expands"), "{outcome:?}");
}

#[tokio::test]
async fn a_missing_file_is_named_with_the_way_to_do_without() {
    for arguments in [&["check"][..], &["-t"], &["run"], &[]] {
        let outcome = Folder::new().run(arguments).await;
        outcome.is_failure_with(1, &["cannot read proxy.toml", "No such file", "--listen"]);
    }
    let outcome = Folder::new().run(&["--config", "elsewhere.toml"]).await;
    outcome.is_failure_with(1, &["cannot read elsewhere.toml"]);
}

#[tokio::test]
async fn a_file_that_is_there_but_cannot_be_read_is_named_with_the_reason() {
    let outcome = Folder::new().run(&["--config", "."]).await;
    outcome.is_failure_with(1, &["cannot read .: Is a directory"]);
    assert!(!outcome.stderr.contains("--listen"), "{outcome:?}");
}

#[tokio::test]
async fn a_wrong_command_line_is_refused_with_its_own_exit_code() {
    let wrong: [&[&str]; 12] = [
        &["--nonsense"],
        &["nonsense"],
        &["run", "--listen", "127.0.0.1:0"],
        &["run", "--backend", "127.0.0.1:1"],
        &["--listen", "127.0.0.1:0"],
        &["--affinity", "cookie"],
        &["--listen", "nonsense", "--backend", "127.0.0.1:1"],
        &[
            "--listen",
            "127.0.0.1:0",
            "--backend",
            "127.0.0.1:1",
            "--config",
            "proxy.toml",
        ],
        &[
            "--listen",
            "127.0.0.1:0",
            "--backend",
            "127.0.0.1:1",
            "--tls-cert",
            "a.pem",
        ],
        &[
            "--listen",
            "127.0.0.1:0",
            "--backend",
            "127.0.0.1:1",
            "--affinity",
            "nonsense",
        ],
        &["-t", "--listen", "127.0.0.1:0", "--backend", "127.0.0.1:1"],
        &[
            "check",
            "--listen",
            "127.0.0.1:0",
            "--backend",
            "127.0.0.1:1",
        ],
    ];
    for arguments in wrong {
        let outcome = Folder::new().run(arguments).await;
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {outcome:?}");
        assert!(
            outcome.stderr.contains("--help"),
            "{arguments:?}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn help_names_the_commands_with_examples_and_exit_codes() {
    let outcome = Folder::new().run(&["--help"]).await;
    assert_eq!(outcome.code, Some(0));
    for part in [
        "run ",
        "check ",
        "status ",
        "tunnels ",
        "top ",
        "close ",
        "drain ",
        "ready ",
        "maintenance ",
        "rebalance ",
        "log ",
        "config ",
        "reload ",
        "upgrade ",
        "health ",
        "completions ",
        "Examples:",
        "Exit codes:",
        "--backend",
        "SIGTERM",
        "SIGHUP",
        "SIGUSR2",
    ] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }
}

#[tokio::test]
async fn options_alone_are_enough_to_serve() {
    let backend = Backend::echo().await;
    let address = backend.address.to_string();
    let options = [
        "--listen",
        "127.0.0.1:0",
        "--backend",
        &address,
        "--affinity",
        "cookie",
    ];
    for command in [&["run"][..], &[]] {
        let mut process = Folder::new().start(&[command, &options].concat());
        let mut client = Client::connect(process.address().await, "/", &[]).await;
        assert!(client.cookie().unwrap().starts_with("longwire="));
        assert_eq!(client.echo("hello").await, "hello");
    }
}

#[tokio::test]
async fn options_serve_tls() {
    let authority = Authority::new();
    let certificate = authority.certify(&["one.test"]);
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (chain, key) = (path(&certificate.chain), path(&certificate.key));
    let mut process = Folder::new().start(&[
        "--listen",
        "127.0.0.1:0",
        "--backend",
        "127.0.0.1:1",
        "--tls-cert",
        &chain,
        "--tls-key",
        &key,
    ]);
    let address = process.address().await;
    assert!(process.log.last().unwrap().contains("https://"));
    let client = TlsClient::trusting(&authority);
    client.try_connect(address, "one.test").await.unwrap();
}

#[tokio::test]
async fn a_wrong_backend_among_the_options_is_pointed_at() {
    let options = ["--listen", "127.0.0.1:0", "--backend", "ws://127.0.0.1:1"];
    let outcome = Folder::new().run(&options).await;
    outcome.is_failure_with(1, &["command line", "ws://127.0.0.1:1", "write `http://`"]);
}

#[tokio::test]
async fn an_address_in_use_is_named_once() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let options = ["--listen", &address, "--backend", "127.0.0.1:1"];
    let outcome = Folder::new().run(&options).await;
    let message = format!("cannot listen on {address}: Address already in use");
    outcome.is_failure_with(1, &[&message]);
    assert_eq!(outcome.stderr.matches("in use").count(), 1, "{outcome:?}");
}

#[tokio::test]
async fn the_start_says_what_listens_where_in_front_of_what() {
    let mut process = Folder::new().start(&[
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "[::1]:0",
        "--backend",
        "127.0.0.1:9001",
        "--backend",
        "127.0.0.1:9002",
    ]);
    process.line("listening on http://127.0.0.1:").await;
    process.line("listening on http://[::1]:").await;
    process
        .line("route */ to pool default: 127.0.0.1:9001, 127.0.0.1:9002")
        .await;
    let log = process.stop().await;
    assert!(!log.iter().any(|line| line.contains("WARN")), "{log:#?}");
}

#[tokio::test]
async fn a_random_cookie_secret_is_warned_about() {
    let options = [
        "--listen",
        "127.0.0.1:0",
        "--backend",
        "127.0.0.1:1",
        "--affinity",
        "cookie",
    ];
    let mut process = Folder::new().start(&options);
    let warning = process.line("random secret").await;
    assert!(warning.contains("WARN"), "{warning}");

    let folder = Folder::new();
    let affinity = "affinity = { by = \"cookie\", secret = \"0123456789abcdef\" }";
    folder.configure("127.0.0.1:1".parse().unwrap(), affinity);
    let mut process = folder.start(&[]);
    process.address().await;
    let log = process.stop().await;
    assert!(!log.iter().any(|line| line.contains("secret")), "{log:#?}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_disturbs_nobody() {
    let backend = Backend::echo().await;
    let folder = Folder::new();
    folder.configure(backend.address, "");
    let mut process = folder.start(&[]);
    let address = process.address().await;
    process.close_log();

    for _ in 0..2 {
        let mut client = Client::connect(address, "/", &[]).await;
        assert_eq!(client.echo("hello").await, "hello");
    }
}
