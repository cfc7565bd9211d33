//! The operator's door takes orders from its user alone, and answers probes.

use std::{
    fs,
    os::{
        fd::AsFd,
        unix::{fs::MetadataExt, net},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use longwire::{
    admin::{Desk, Door, DoorError, Errand, Order},
    config::{Admin, AdminSocket, Token},
    listener::Inherited,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixStream},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::support::{
    Authority, Proxy, Raw, TlsClient, all_is_quiet, desk, header, in_slow_motion, parsed, until,
};

/// A door that is silent for so long is broken.
const PATIENCE: Duration = Duration::from_secs(20);

const TOKEN: &str = "the token of this test";

/// What a configuration has to have besides.
const LEAST: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"main\"\n\
                     [pool.main]\nbackends = [\"127.0.0.1:1\"]";

#[tokio::test]
async fn an_order_is_passed_on_and_its_outcome_answered() {
    let mut open = Open::new().await;
    let mut operator = open.operator().await;
    operator.send(post("/api/v1/reload")).await;
    let errand = open.errands.recv().await.unwrap();
    assert_eq!(errand.order, Order::Reload);
    errand
        .reply
        .send(Ok("two pools, one new".to_owned()))
        .unwrap();
    operator
        .answers(200, r#"{"done":"two pools, one new"}"#)
        .await;

    let mut operator = open.operator().await;
    operator.send(post("/api/v1/upgrade")).await;
    let errand = open.errands.recv().await.unwrap();
    assert_eq!(errand.order, Order::Upgrade);
    errand.reply.send(Err("first\nsecond".to_owned())).unwrap();
    operator.answers(409, r#"{"error":"first\nsecond"}"#).await;
}

#[tokio::test]
async fn an_order_that_nobody_carries_out_is_no_success() {
    let mut open = Open::new().await;
    let mut forgotten = open.operator().await;
    forgotten.send(post("/api/v1/reload")).await;
    drop(open.errands.recv().await.unwrap());
    forgotten
        .answers(
            500,
            r#"{"error":"the proxy has ended before it could be done"}"#,
        )
        .await;

    open.errands.close();
    let mut late = open.operator().await;
    late.send(post("/api/v1/reload")).await;
    late.answers(
        500,
        r#"{"error":"the proxy has ended before it could be done"}"#,
    )
    .await;
}

#[tokio::test]
async fn whoever_only_looks_gives_no_order() {
    let mut open = Open::new().await;
    for method in ["GET", "HEAD", "OPTIONS", "PUT"] {
        for path in ["/api/v1/reload", "/api/v1/upgrade"] {
            let mut operator = open.operator().await;
            operator.send(request(method, path)).await;
            let head = timeout(PATIENCE, operator.head()).await.unwrap();
            assert!(head.starts_with("HTTP/1.1 405"), "{method} {path}: {head}");
            assert_eq!(header(&head, "allow"), Some("POST"));
        }
    }
    assert!(open.errands.try_recv().is_err());
}

#[tokio::test]
async fn at_the_address_nothing_but_probes_is_answered_without_the_token() {
    let mut open = Open::guarded().await;
    for path in ["/api/v1/reload", "/api/v1/tunnels/close"] {
        let mut stranger = open.probe().await;
        stranger.send(post(path)).await;
        let head = stranger.head().await;
        assert!(head.starts_with("HTTP/1.1 401"), "{path}: {head}");
        assert_eq!(header(&head, "www-authenticate"), Some("Bearer"));
    }
    for path in ["/metrics", "/api/v1/status", "/api/v1/events", "/nothing"] {
        let mut stranger = open.probe().await;
        stranger.send(request("GET", path)).await;
        let head = stranger.head().await;
        assert!(head.starts_with("HTTP/1.1 401"), "{path}: {head}");
    }
    open.says("/livez", 200, "live\n").await;
    assert!(open.errands.try_recv().is_err());

    let mut friend = open.probe().await;
    let fields = format!("Authorization: Bearer {TOKEN}");
    friend
        .send(request_with("POST", "/api/v1/reload", &fields))
        .await;
    let errand = open.errands.recv().await.unwrap();
    errand.reply.send(Ok("reloaded".to_owned())).unwrap();
    friend.answers(200, r#"{"done":"reloaded"}"#).await;
    // At the socket nobody is asked for it.
    let mut operator = open.operator().await;
    operator.send(request("GET", "/api/v1/pools")).await;
    let head = operator.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn the_address_speaks_tls_where_it_has_a_certificate() {
    let authority = Authority::new();
    let certificate = authority.certify(&["admin.test"]).on_listener();
    let text = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {TOKEN:?}\n{certificate}");
    let config = parsed(&format!("{text}\n{LEAST}")).admin;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("door.sock");
    let config = Admin {
        socket: AdminSocket::At(path.clone()),
        ..config
    };
    let open = Open::serving(folder, path, bind(&config).unwrap()).await;
    let address = open.door.address().unwrap();
    let client = TlsClient::trusting(&authority);
    let mut operator = client.connect(address, "admin.test").await;
    let fields = format!("Authorization: Bearer {TOKEN}");
    operator
        .send(request_with("GET", "/api/v1/status", &fields))
        .await;
    let head = operator.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");

    let mut plain = open.probe().await;
    plain.send(request("GET", "/livez")).await;
    let answer = timeout(PATIENCE, plain.rest()).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn a_page_from_elsewhere_gives_no_order() {
    let mut open = Open::new().await;
    let address = open.door.address().unwrap();
    for (host, field) in [
        (address.to_string(), "Sec-Fetch-Site: cross-site"),
        (address.to_string(), "Origin: https://evil.example"),
        ("rebound.example".to_owned(), "X-Nothing: odd"),
    ] {
        let mut page = open.probe().await;
        let head = format!("POST /api/v1/reload HTTP/1.1\r\nHost: {host}\r\n{field}\r\n\r\n");
        page.send(head).await;
        let head = page.head().await;
        assert!(head.starts_with("HTTP/1.1 403"), "{field}: {head}");
    }
    assert!(open.errands.try_recv().is_err());
}

#[tokio::test]
async fn a_proxy_that_stops_lives_but_is_not_ready() {
    let mut open = Open::new().await;
    open.says("/livez", 200, "live\n").await;
    open.says("/readyz", 200, "ready\n").await;
    let mut readiness = open.proxy.control.readiness();
    open.proxy.stop();
    readiness.changed().await.unwrap();
    open.says("/livez", 200, "live\n").await;
    open.says("/readyz", 503, "stopping\n").await;
}

#[tokio::test]
async fn a_probe_that_wants_no_body_gets_the_head_alone() {
    let open = Open::new().await;
    let mut probe = open.probe().await;
    probe.send(request("HEAD", "/readyz")).await;
    let answer = String::from_utf8(probe.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let open = Open::new().await;
    let large = format!("X-Large: {}\r\n", "a".repeat(20_000));
    let chunk = format!(
        "Transfer-Encoding: chunked\r\n\r\n11170\r\n{}",
        "a".repeat(70_000)
    );
    let many = "X-Many: a\r\n".repeat(80);
    for (fields, status) in [
        (large.as_str(), "431"),
        (&many, "431"),
        ("Content-Length: 70000\r\n", "413"),
        (&chunk, "413"),
    ] {
        let mut operator = open.operator().await;
        let head = format!("POST /api/v1/reload HTTP/1.1\r\nHost: longwire\r\n{fields}\r\n");
        operator.send(head).await;
        let answer = timeout(PATIENCE, operator.head()).await.unwrap();
        assert!(answer.contains(status), "{status}: {answer}");
    }
}

#[tokio::test]
async fn the_socket_is_its_users_alone() {
    let open = Open::new().await;
    let file = fs::metadata(&open.path).unwrap();
    assert_eq!(file.mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_socket_that_nobody_answers_is_replaced() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("door.sock");
    drop(net::UnixListener::bind(&path).unwrap());
    let open = Open::at(folder, path).await;
    let mut operator = open.operator().await;
    operator.send(request("GET", "/livez")).await;
    operator.answers(200, "live\n").await;
}

#[tokio::test]
async fn a_socket_that_somebody_answers_is_left_to_them() {
    let open = Open::new().await;
    let refused = bind(&at(&open.path)).unwrap_err().to_string();
    let holder = format!("the process {} takes orders at", std::process::id());
    assert!(refused.starts_with(&holder), "{refused}");
    open.says("/livez", 200, "live\n").await;
}

#[tokio::test]
async fn a_socket_is_left_to_those_who_are_too_busy_to_answer() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("door.sock");
    let busy = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    busy.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    busy.listen(0).unwrap();
    let _waiting = net::UnixStream::connect(&path).unwrap();
    let refused = bind(&at(&path)).unwrap_err().to_string();
    assert!(
        refused.starts_with("another process takes orders"),
        "{refused}"
    );
    assert!(path.exists());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("door.sock");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(&at(&path)), Err(DoorError::Socket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_usual_socket_that_cannot_be_had_keeps_nobody_from_serving() {
    let nowhere = Path::new("/nonexistent/door.sock");
    let usual = admin(AdminSocket::Usual);
    let door = Door::bind(&usual, Some(nowhere), &mut Inherited::default()).unwrap();
    assert_eq!(door.path(), None);
    assert!(door.address().is_some());

    let refused = bind(&at(nowhere)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cannot take orders at /nonexistent/door.sock"
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Admin {
        socket: AdminSocket::Off,
        listen: Some(taken.local_addr().unwrap()),
        ..Admin::default()
    };
    assert!(matches!(bind(&config), Err(DoorError::Address(_))));
}

#[tokio::test]
async fn the_file_goes_with_the_door_unless_it_is_somebody_elses() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("door.sock");
    drop(bind(&at(&path)).unwrap());
    assert!(!path.exists());

    let door = bind(&at(&path)).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = net::UnixListener::bind(&path).unwrap();
    drop(door);
    assert!(path.exists());
}

#[tokio::test]
async fn a_door_is_handed_over_with_its_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("door.sock");
    let old = bind(&at(&path)).unwrap();
    let config = Admin {
        socket: AdminSocket::At(path.clone()),
        listen: old.address(),
        ..Admin::default()
    };
    let new = || {
        let mut inherited = Inherited::default();
        for socket in old.sockets() {
            inherited.add(socket.try_clone_to_owned().unwrap()).unwrap();
        }
        let new = Door::bind(&config, None, &mut inherited).unwrap();
        assert_eq!(inherited.left().count(), 0);
        new
    };
    // One that does not get ready changes nothing.
    drop(new());
    assert!(path.exists());

    let new = new();
    new.take_over();
    old.hand_over();
    drop(old);
    let open = Open::serving(folder, path.clone(), new).await;
    open.says("/livez", 200, "live\n").await;
    drop(open);
    until(|| !path.exists()).await;
}

#[tokio::test]
async fn the_file_of_a_socket_that_was_lent_stays() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("door.sock");
    let lender = net::UnixListener::bind(&path).unwrap();
    let mut inherited = Inherited::lent();
    inherited
        .add(lender.as_fd().try_clone_to_owned().unwrap())
        .unwrap();
    drop(Door::bind(&at(&path), None, &mut inherited).unwrap());
    assert!(path.exists());
}

#[tokio::test]
async fn an_order_that_moves_the_door_is_answered_through_it() {
    let mut open = Open::new().await;
    let mut operator = open.operator().await;
    operator.send(post("/api/v1/reload")).await;
    let errand = open.errands.recv().await.unwrap();

    let elsewhere = open.folder.path().join("elsewhere.sock");
    let moved = open.door.moved(&at(&elsewhere), None).unwrap();
    assert_eq!(moved.address(), open.door.address());
    open.serving.abort();
    let before = std::mem::replace(&mut open.door, moved);
    drop(before);
    until(|| !open.path.exists()).await;
    assert!(elsewhere.exists());

    errand.reply.send(Ok("moved".to_owned())).unwrap();
    operator.answers(200, r#"{"done":"moved"}"#).await;
}

#[tokio::test]
async fn whoever_reads_events_is_told_when_there_are_no_more() {
    let open = Open::new().await;
    let mut watching = open.operator().await;
    watching.send(request("GET", "/api/v1/events")).await;
    let head = watching.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(header(&head, "content-type"), Some("text/event-stream"));
    open.desk.end_streams();
    watching.is_cut().await;
}

#[tokio::test]
async fn a_door_that_cannot_move_stays() {
    let open = Open::new().await;
    let refused = open
        .door
        .moved(&at(Path::new("/nonexistent/door.sock")), None);
    assert!(refused.is_err());
    open.says("/livez", 200, "live\n").await;
    drop(open.door.moved(&at(&open.path), None).unwrap());
    assert!(open.path.exists(), "it is the door's still");
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_come_to_the_point_is_cut() {
    in_slow_motion();
    let open = Open::new().await;
    for begun in ["", "GET /livez HTTP/1.1\r\nHost:"] {
        let (mut operator, mut probe) = (open.operator().await, open.probe().await);
        operator.send(begun).await;
        probe.send(begun).await;
        let began = Instant::now();
        operator.is_cut().await;
        probe.is_cut().await;
        let taken = began.elapsed().as_secs_f64();
        assert!((4.9..6.0).contains(&taken), "{taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_slow_keep_nobody_out() {
    in_slow_motion();
    let mut open = Open::new().await;
    let mut waiting = open.operator().await;
    waiting.send(post("/api/v1/upgrade")).await;
    let errand = open.errands.recv().await.unwrap();
    // One who only looks now and then takes no place from whoever waits for an order.
    for _ in 0..100 {
        open.says("/readyz", 200, "ready\n").await;
    }

    let (mut slow_operators, mut slow_probes) = (Vec::new(), Vec::new());
    for _ in 0..63 {
        slow_operators.push(open.operator().await);
    }
    for _ in 0..200 {
        slow_probes.push(open.probe().await);
    }
    all_is_quiet().await;
    let began = Instant::now();
    let mut probe = open.probe().await;
    probe.send(request("GET", "/readyz")).await;
    probe.answers(200, "ready\n").await;
    slow_probes[0].is_cut().await;
    assert!(began.elapsed() < Duration::from_secs(1));
    errand.reply.send(Ok("done".to_owned())).unwrap();
    waiting.answers(200, r#"{"done":"done"}"#).await;
}

#[tokio::test(start_paused = true)]
async fn who_shows_nothing_does_not_end_what_an_operator_watches() {
    in_slow_motion();
    let open = Open::guarded().await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let events = |token: &str| format!("GET /api/v1/events HTTP/1.1\r\nHost: proxy\r\n{token}\r\n");
    let mut watching = open.probe().await;
    watching.send(events(&token)).await;
    assert!(watching.head().await.starts_with("HTTP/1.1 200"));
    let mut strangers = Vec::new();
    for number in 0..300 {
        let mut stranger = open.probe().await;
        match number % 4 {
            0 => stranger.send(events("")).await,
            1 => {
                stranger
                    .send(events("Authorization: Bearer of another token\r\n"))
                    .await
            }
            2 => stranger.send("GET /livez HTTP/1.1\r\nHost:").await,
            _ => {}
        }
        strangers.push(stranger);
    }
    all_is_quiet().await;
    strangers[3].is_cut().await;
    // It is told what happens, for as long as it likes.
    for _ in 0..60 {
        assert!(!watching.chunk().await.is_empty(), "it has ended");
    }
    let mut probe = open.probe().await;
    probe.send(request("GET", "/livez")).await;
    probe.answers(200, "live\n").await;
}

/// A door that is open, and what stands behind it.
struct Open {
    door: Door,
    path: PathBuf,
    errands: mpsc::Receiver<Errand>,
    proxy: Proxy,
    serving: JoinHandle<()>,
    desk: Desk,
    folder: TempDir,
}

impl Open {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("door.sock");
        Self::at(folder, path).await
    }

    /// With a token.
    async fn guarded() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("door.sock");
        let config = Admin {
            token: Some(Token::new(TOKEN)),
            ..at(&path)
        };
        Self::serving(folder, path, bind(&config).unwrap()).await
    }

    async fn at(folder: TempDir, path: PathBuf) -> Self {
        let door = bind(&at(&path)).unwrap();
        Self::serving(folder, path, door).await
    }

    async fn serving(folder: TempDir, path: PathBuf, door: Door) -> Self {
        let (sender, errands) = mpsc::channel(1);
        let proxy = Proxy::fronting_addresses(["127.0.0.1:1"])
            .config("[stop]\ndelay = \"1h\"")
            .start()
            .await;
        let desk = desk(&proxy, sender);
        Self {
            serving: tokio::spawn(door.clone().serve(desk.clone())),
            desk,
            door,
            path,
            errands,
            proxy,
            folder,
        }
    }

    async fn operator(&self) -> Raw<UnixStream> {
        Raw::new(UnixStream::connect(&self.path).await.unwrap())
    }

    async fn probe(&self) -> Raw {
        let address = self.door.address().unwrap();
        Raw::new(TcpStream::connect(address).await.unwrap())
    }

    /// Says the same to operators and probes.
    async fn says(&self, path: &str, status: u16, text: &str) {
        let (mut operator, mut probe) = (self.operator().await, self.probe().await);
        operator.send(request("GET", path)).await;
        operator.answers(status, text).await;
        probe.send(request("GET", path)).await;
        probe.answers(status, text).await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    async fn answers(&mut self, status: u16, text: &str) {
        let response = timeout(PATIENCE, self.response()).await;
        let (head, body) = response.expect("no answer comes");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(body, text);
    }

    async fn is_cut(&mut self) {
        let rest = timeout(PATIENCE, self.rest()).await;
        rest.expect("it is not cut");
    }
}

/// With an address.
fn admin(socket: AdminSocket) -> Admin {
    Admin {
        socket,
        listen: Some("127.0.0.1:0".parse().unwrap()),
        ..Admin::default()
    }
}

fn at(path: &Path) -> Admin {
    admin(AdminSocket::At(path.to_owned()))
}

fn bind(config: &Admin) -> Result<Door, DoorError> {
    Door::bind(config, None, &mut Inherited::default())
}

fn post(path: &str) -> String {
    request("POST", path)
}

fn request(method: &str, path: &str) -> String {
    request_with(method, path, "X-Nothing: odd")
}

fn request_with(method: &str, path: &str, field: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{field}\r\n\r\n")
}
