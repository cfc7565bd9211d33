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
    admin::{Door, DoorError, Errand, Order, Readiness},
    config::{Admin, AdminSocket},
    listener::Inherited,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::support::{Raw, all_is_quiet, header, in_slow_motion, until};

/// A door that is silent for so long is broken.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_order_is_passed_on_and_its_outcome_answered() {
    let mut open = Open::new();
    let mut operator = open.operator().await;
    operator.send(post("/reload")).await;
    let errand = open.errands.recv().await.unwrap();
    assert_eq!(errand.order, Order::Reload);
    errand
        .reply
        .send(Ok("two pools, one new".to_owned()))
        .unwrap();
    operator.answers(200, "two pools, one new\n").await;

    let mut operator = open.operator().await;
    operator.send(post("/upgrade")).await;
    let errand = open.errands.recv().await.unwrap();
    assert_eq!(errand.order, Order::Upgrade);
    errand.reply.send(Err("first\nsecond".to_owned())).unwrap();
    operator.answers(409, "first\nsecond\n").await;
}

#[tokio::test]
async fn an_order_that_nobody_carries_out_is_no_success() {
    let mut open = Open::new();
    let mut forgotten = open.operator().await;
    forgotten.send(post("/reload")).await;
    drop(open.errands.recv().await.unwrap());
    forgotten
        .answers(500, "the proxy has ended before it could be done\n")
        .await;

    open.errands.close();
    let mut late = open.operator().await;
    late.send(post("/reload")).await;
    late.answers(500, "the proxy has ended before it could be done\n")
        .await;
}

#[tokio::test]
async fn whoever_only_looks_gives_no_order() {
    let mut open = Open::new();
    for method in ["GET", "HEAD", "OPTIONS", "PUT"] {
        for path in ["/reload", "/upgrade"] {
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
async fn no_order_is_taken_at_the_address_for_probes() {
    let mut open = Open::new();
    for path in ["/reload", "/upgrade", "/", "/livez/"] {
        let mut probe = open.probe().await;
        probe.send(post(path)).await;
        probe.answers(404, "there is nothing here\n").await;
    }
    let mut probe = open.probe().await;
    probe.send(post("/readyz")).await;
    probe.answers(405, "allowed here: GET, HEAD\n").await;
    assert!(open.errands.try_recv().is_err());
}

#[tokio::test]
async fn a_proxy_that_stops_lives_but_is_not_ready() {
    let open = Open::new();
    open.says("/livez", 200, "live\n").await;
    open.says("/readyz", 200, "ready\n").await;
    open.readiness.send_replace(Readiness::Stopping);
    open.says("/livez", 200, "live\n").await;
    open.says("/readyz", 503, "stopping\n").await;
}

#[tokio::test]
async fn a_probe_that_wants_no_body_gets_the_head_alone() {
    let open = Open::new();
    let mut probe = open.probe().await;
    probe.send(request("HEAD", "/readyz")).await;
    let answer = String::from_utf8(probe.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let open = Open::new();
    let large = format!("X-Large: {}\r\n", "a".repeat(10_000));
    let many = "X-Many: a\r\n".repeat(40);
    for (fields, status) in [
        (large.as_str(), "431"),
        (&many, "431"),
        ("Content-Length: 1\r\n", "413"),
        ("Transfer-Encoding: chunked\r\n", "413"),
    ] {
        let mut operator = open.operator().await;
        let head = format!("POST /reload HTTP/1.1\r\nHost: longwire\r\n{fields}\r\n");
        operator.send(head).await;
        let answer = timeout(PATIENCE, operator.head()).await.unwrap();
        assert!(answer.contains(status), "{status}: {answer}");
    }
}

#[tokio::test]
async fn the_socket_is_its_users_alone() {
    let open = Open::new();
    let file = fs::metadata(&open.path).unwrap();
    assert_eq!(file.mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_socket_that_nobody_answers_is_replaced() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("door.sock");
    drop(net::UnixListener::bind(&path).unwrap());
    let open = Open::at(folder, path);
    let mut operator = open.operator().await;
    operator.send(request("GET", "/livez")).await;
    operator.answers(200, "live\n").await;
}

#[tokio::test]
async fn a_socket_that_somebody_answers_is_left_to_them() {
    let open = Open::new();
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
    };
    assert!(matches!(bind(&config), Err(DoorError::Probes(_))));
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
    let open = Open::serving(folder, path.clone(), new);
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
    let mut open = Open::new();
    let mut operator = open.operator().await;
    operator.send(post("/reload")).await;
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
    operator.answers(200, "moved\n").await;
}

#[tokio::test]
async fn a_door_that_cannot_move_stays() {
    let open = Open::new();
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
    let open = Open::new();
    for begun in ["", "GET /livez HTTP/1.1\r\nHost:"] {
        let (mut operator, mut probe) = (open.operator().await, open.probe().await);
        operator.send(begun).await;
        probe.send(begun).await;
        let began = Instant::now();
        operator.is_cut().await;
        probe.is_cut().await;
        let taken = began.elapsed().as_secs_f64();
        assert!((9.9..11.0).contains(&taken), "{taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_slow_keep_nobody_out() {
    in_slow_motion();
    let mut open = Open::new();
    let mut waiting = open.operator().await;
    waiting.send(post("/upgrade")).await;
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
    waiting.answers(200, "done\n").await;
}

/// A door that is open, and what stands behind it.
struct Open {
    door: Door,
    path: PathBuf,
    errands: mpsc::Receiver<Errand>,
    readiness: watch::Sender<Readiness>,
    serving: JoinHandle<()>,
    folder: TempDir,
}

impl Open {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("door.sock");
        Self::at(folder, path)
    }

    fn at(folder: TempDir, path: PathBuf) -> Self {
        let door = bind(&at(&path)).unwrap();
        Self::serving(folder, path, door)
    }

    fn serving(folder: TempDir, path: PathBuf, door: Door) -> Self {
        let (sender, errands) = mpsc::channel(1);
        let (readiness, watched) = watch::channel(Readiness::Ready);
        Self {
            serving: tokio::spawn(door.clone().serve(sender, watched)),
            door,
            path,
            errands,
            readiness,
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

/// With an address for probes.
fn admin(socket: AdminSocket) -> Admin {
    Admin {
        socket,
        listen: Some("127.0.0.1:0".parse().unwrap()),
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
    format!("{method} {path} HTTP/1.1\r\nHost: longwire\r\n\r\n")
}
