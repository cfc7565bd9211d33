//! A crowd of handshakes: the line, the refusal, and that nobody else is harmed.

use std::{cmp::Reverse, net::SocketAddr, time::Duration};

use futures_util::future::{join_all, pending};
use longwire::websocket::{CloseCode, Role};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::support::{
    Backend, Folder, Proxy, Raw, RawBackend, all_is_quiet, echo_cluster, frame, handshake, header,
    in_slow_motion, naming_cluster, switching,
};

/// A backend that answers nobody.
async fn silent() -> Backend {
    Backend::serving(|socket, _| async move {
        let _socket = socket;
        pending().await
    })
    .await
}

/// Asks for a WebSocket on a connection of its own.
async fn ask(proxy: &Proxy) -> Raw {
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    client
}

/// The head of the answer to a handshake.
async fn answer(proxy: &Proxy) -> String {
    ask(proxy).await.head().await
}

/// The next handshake that comes to a backend, as it must before long.
async fn next(arrivals: &mut UnboundedReceiver<Raw>) -> Raw {
    let arrival = timeout(Duration::from_secs(20), arrivals.recv()).await;
    arrival.expect("a handshake").unwrap()
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// The seconds after which the client is to come back.
fn retry_after(head: &str) -> u64 {
    header(head, "retry-after").unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_let_in_at_the_rate_and_everybody_in_time() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).config("[admission]\nrate = 20\nburst = 5");
    let proxy = proxy.start().await;
    let start = Instant::now();
    let crowd = (0..25).map(|_| async {
        let client = proxy.connect().await;
        (start.elapsed(), client)
    });
    let mut times: Vec<_> = join_all(crowd).await.iter().map(|entry| entry.0).collect();
    times.sort();
    for (index, time) in (0..).zip(times) {
        let due = Duration::from_millis(50) * u32::saturating_sub(index, 4);
        let allowed = due..due + Duration::from_millis(100);
        assert!(allowed.contains(&time), "number {index} after {time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_finds_the_line_full_is_told_when_to_come_back_each_at_another_time() {
    in_slow_motion();
    let silent = silent().await;
    let proxy = Proxy::fronting([&silent])
        .pool("[pool.main.admission]\nhandshakes = 1\nqueue = 2")
        .config("[admission]\nretry_after = \"20s\"");
    let proxy = proxy.start().await;
    let _inside_and_waiting = [ask(&proxy).await, ask(&proxy).await, ask(&proxy).await];
    all_is_quiet().await;

    let start = Instant::now();
    let mut times = Vec::new();
    for _ in 0..50 {
        let head = answer(&proxy).await;
        assert_eq!(status(&head), "503");
        times.push(retry_after(&head));
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "nobody has waited"
    );
    assert!(
        times.iter().all(|time| (20..=40).contains(time)),
        "{times:?}"
    );
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 5, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_waited_long_enough_is_refused() {
    in_slow_motion();
    let silent = silent().await;
    let proxy = Proxy::fronting([&silent])
        .config("[admission]\nhandshakes = 1\nqueue_timeout = \"3s\"")
        .start()
        .await;
    let _inside = ask(&proxy).await;
    all_is_quiet().await;
    let start = Instant::now();
    assert_eq!(status(&answer(&proxy).await), "503");
    let waited = start.elapsed();
    assert!((3_000..3_200).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_for_too_much_gets_429_and_others_get_in() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).config("[admission.client]\nrate = 1\nburst = 2");
    let proxy = proxy.start().await;
    assert_eq!(status(&answer(&proxy).await), "101");
    assert_eq!(status(&answer(&proxy).await), "101");
    let refused = answer(&proxy).await;
    assert_eq!(status(&refused), "429");
    assert!((5..=10).contains(&retry_after(&refused)));

    let mut other = proxy.raw_from([127, 0, 0, 2]).await;
    other.open_websocket().await;
}

#[tokio::test(start_paused = true)]
async fn plain_requests_are_not_limited() {
    let backends = naming_cluster(1).await;
    let limits = "rate = 1\nqueue = 0\nhandshakes = 1\n";
    let proxy = Proxy::fronting(&backends)
        .pool(&format!("[pool.main.admission]\n{limits}"))
        .pool(&format!("[pool.main.admission.backend]\n{limits}"))
        .config(&format!(
            "[admission]\n{limits}[admission.client]\n{limits}"
        ));
    let proxy = proxy.start().await;
    assert_eq!(status(&answer(&proxy).await), "101");
    assert_eq!(status(&answer(&proxy).await), "429");
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
}

/// Two backends that the test plays, of which each may have one handshake at once.
struct Duo {
    proxy: Proxy,
    _backends: [Backend; 2],
    arrivals: [UnboundedReceiver<Raw>; 2],
}

impl Duo {
    async fn start(lines: &str, gate: &str) -> Self {
        in_slow_motion();
        let (one, to_one) = Backend::played().await;
        let (other, to_other) = Backend::played().await;
        let proxy = Proxy::fronting([&one, &other]).pool(lines).pool(&format!(
            "[pool.main.admission.backend]\nhandshakes = 1\n{gate}"
        ));
        Self {
            proxy: proxy.start().await,
            _backends: [one, other],
            arrivals: [to_one, to_other],
        }
    }

    /// The next handshake that comes to a backend.
    async fn arrival(&mut self, index: usize) -> Raw {
        next(&mut self.arrivals[index]).await
    }

    /// How many handshakes have come to each that nobody has looked at.
    async fn waiting(&self) -> [usize; 2] {
        all_is_quiet().await;
        [self.arrivals[0].len(), self.arrivals[1].len()]
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_backend_cannot_take_goes_to_others() {
    let mut duo = Duo::start("balance = \"round-robin\"", "").await;
    let _stuck = ask(&duo.proxy).await;
    let slow = if duo.waiting().await == [1, 0] { 0 } else { 1 };
    for _ in 0..4 {
        let mut client = ask(&duo.proxy).await;
        let mut backend = duo.arrival(1 - slow).await;
        backend.grant_websocket().await;
        assert_eq!(status(&client.head().await), "101");
    }
    assert_eq!(duo.arrivals[slow].len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_returning_client_waits_for_its_own_backend() {
    let mut duo = Duo::start("affinity = \"cookie\"", "").await;
    let mut first = ask(&duo.proxy).await;
    let own = if duo.waiting().await == [1, 0] { 0 } else { 1 };
    let mut backend = duo.arrival(own).await;
    backend.grant_websocket().await;
    let head = first.head().await;
    let cookie = header(&head, "set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();

    let mut again = Vec::new();
    for _ in 0..2 {
        let mut client = duo.proxy.raw().await;
        client.send(handshake("/", &[("Cookie", &cookie)])).await;
        again.push(client);
        assert_eq!(duo.waiting().await[1 - own], 0);
    }
    assert_eq!(duo.arrivals[own].len(), 1, "one is under way, one waits");

    duo.arrival(own).await.grant_websocket().await;
    assert_eq!(status(&again[0].head().await), "101");
    duo.arrival(own).await.grant_websocket().await;
    assert_eq!(status(&again[1].head().await), "101");
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_for_the_backend_of_its_key_unless_crowded_keys_spill_over() {
    for (factor, expected) in [("\"off\"", [1, 0]), ("1000", [1, 1])] {
        let affinity =
            format!("affinity = {{ by = \"query\", name = \"room\", balance_factor = {factor} }}");
        let duo = Duo::start(&affinity, "").await;
        let mut clients = Vec::new();
        for _ in 0..2 {
            let mut client = duo.proxy.raw().await;
            client.ask_for_websocket("/?room=1").await;
            clients.push(client);
            all_is_quiet().await;
        }
        let mut waiting = duo.waiting().await;
        waiting.sort_by_key(|count| Reverse(*count));
        assert_eq!(waiting, expected, "{factor}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_backends_are_crowded_a_handshake_waits_and_is_refused_in_the_end() {
    let mut duo = Duo::start("", "queue = 1\nqueue_timeout = \"3s\"").await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(ask(&duo.proxy).await);
        all_is_quiet().await;
    }
    let start = Instant::now();
    assert_eq!(duo.waiting().await, [1, 1], "two are under way, two wait");
    assert_eq!(status(&answer(&duo.proxy).await), "503");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "nor is there a line"
    );

    for client in &mut clients[2..] {
        assert_eq!(status(&client.head().await), "503");
    }
    let waited = start.elapsed();
    assert!((2_500..3_500).contains(&waited.as_millis()), "{waited:?}");
    duo.arrival(0).await.grant_websocket().await;
    duo.arrival(1).await.grant_websocket().await;
    for client in &mut clients[..2] {
        assert_eq!(status(&client.head().await), "101");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_however_a_handshake_ends() {
    in_slow_motion();
    let (backend, mut arrivals) = Backend::played().await;
    let one = "handshakes = 1\nqueue = 0\n";
    let proxy = Proxy::fronting([&backend])
        .pool(&format!("[pool.main.admission]\n{one}"))
        .pool(&format!("[pool.main.admission.backend]\n{one}"))
        .config(&format!("[admission]\n{one}[admission.client]\n{one}"))
        .start()
        .await;
    let mut kept = Vec::new();
    for end in [
        "101",
        "401",
        "bad 101",
        "broken",
        "timeout",
        "client left",
        "101",
    ] {
        let mut client = ask(&proxy).await;
        let mut backend = next(&mut arrivals).await;
        backend.head().await;
        assert_eq!(status(&answer(&proxy).await), "429", "one is under way");
        let expected = match end {
            "401" => {
                // Its body never ends.
                let length = "Content-Length: 9";
                backend
                    .send(format!("HTTP/1.1 401 Unauthorized\r\n{length}\r\n\r\n"))
                    .await;
                "401"
            }
            "bad 101" => {
                let wrong = switching(&[("Sec-WebSocket-Accept", "d3Jvbmc=")]);
                backend.send(wrong).await;
                "502"
            }
            "broken" => {
                drop(backend);
                assert_eq!(status(&client.head().await), "502");
                continue;
            }
            "timeout" => "504",
            "client left" => {
                drop(client);
                all_is_quiet().await;
                continue;
            }
            _ => {
                backend.send(switching(&[])).await;
                "101"
            }
        };
        assert_eq!(status(&client.head().await), expected);
        kept.push((client, backend));
        all_is_quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_the_line_makes_room_in_it() {
    in_slow_motion();
    let (backend, mut arrivals) = Backend::played().await;
    let proxy = Proxy::fronting([&backend])
        .config("[admission]\nhandshakes = 1\nqueue = 1")
        .start()
        .await;
    let _first = ask(&proxy).await;
    let mut under_way = next(&mut arrivals).await;
    let second = ask(&proxy).await;
    all_is_quiet().await;
    assert_eq!(status(&answer(&proxy).await), "503");

    drop(second);
    all_is_quiet().await;
    let mut third = ask(&proxy).await;
    assert!(third.is_silent().await, "it waits");
    under_way.grant_websocket().await;
    next(&mut arrivals).await.grant_websocket().await;
    assert_eq!(status(&third.head().await), "101");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_talks_early_and_leaves_keeps_its_place_in_the_line_until_its_deadline() {
    in_slow_motion();
    let backend = silent().await;
    let proxy = Proxy::fronting([&backend])
        .config("[admission]\nhandshakes = 1\nqueue = 1\nqueue_timeout = \"3s\"")
        .start()
        .await;
    let _first = ask(&proxy).await;
    all_is_quiet().await;
    let mut second = ask(&proxy).await;
    second.send(frame(0x81, b"hello", Role::Client)).await;
    all_is_quiet().await;
    drop(second);
    all_is_quiet().await;
    assert_eq!(status(&answer(&proxy).await), "503");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(ask(&proxy).await.is_silent().await, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_handshake_begins_behind_the_line() {
    in_slow_motion();
    let (backend, mut arrivals) = Backend::played().await;
    let proxy = Proxy::fronting([&backend])
        .config("[admission]\nhandshakes = 1")
        .config("[timeouts]\nconnect = \"1s\"\nhandshake = \"3s\"")
        .start()
        .await;
    let mut first = ask(&proxy).await;
    let _stuck = next(&mut arrivals).await;
    let mut second = ask(&proxy).await;
    assert_eq!(status(&first.head().await), "504");
    let mut slow = next(&mut arrivals).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    slow.grant_websocket().await;
    assert_eq!(status(&second.head().await), "101");
}

#[tokio::test(start_paused = true)]
async fn the_line_of_one_pool_takes_no_place_of_another() {
    in_slow_motion();
    let silent = silent().await;
    let echo = Backend::echo().await;
    let proxy = Proxy::with_config(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/slow\"\npool = \"slow\"\n[[route]]\npool = \"quick\"\n\
         [pool.slow]\nbackends = [\"{}\"]\nadmission.handshakes = 1\n\
         [pool.quick]\nbackends = [\"{}\"]\n[admission]\nhandshakes = 2",
        silent.address, echo.address
    ))
    .await;
    let mut crowd = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.raw().await;
        client.ask_for_websocket("/slow").await;
        crowd.push(client);
    }
    all_is_quiet().await;
    let start = Instant::now();
    proxy.connect().await;
    assert!(start.elapsed() < Duration::from_secs(1));
}

/// A proxy that lets one handshake in, which has been, and closes others with a reason.
async fn closing() -> (Proxy, Backend) {
    in_slow_motion();
    let backend = Backend::echo().await;
    let proxy = Proxy::fronting([&backend])
        .route("refusal = \"close\"")
        .pool("max_tunnels = 1")
        .config("[admission]\nrate = 1\nburst = 2\nqueue = 0")
        .start()
        .await;
    (proxy, backend)
}

/// The Close that comes next, and the seconds that its reason names.
fn told(message: Option<Message>) -> (u16, u64) {
    let Some(Message::Close(Some(CloseFrame { code, reason }))) = message else {
        panic!("{message:?} is no Close");
    };
    let seconds = reason.strip_prefix("try again later: in ");
    let seconds = seconds.and_then(|rest| rest.strip_suffix(" s"));
    (code.into(), seconds.unwrap().parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_page_sees_why_it_is_refused_where_the_route_closes() {
    let (proxy, _backend) = closing().await;
    let _tunnel = proxy.connect().await;
    // The first of these finds no backend with room, the others no token.
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        assert!(client.headers.get("x-backend").is_none());
        assert!(client.headers.get("sec-websocket-protocol").is_none());
        let (code, seconds) = told(client.next().await);
        assert_eq!(code, CloseCode::TRY_AGAIN_LATER.0);
        assert!((5..=10).contains(&seconds), "{seconds}");
        assert!(client.next().await.is_none(), "it ends in peace");
    }
    assert_eq!(proxy.registry.len(), 1, "no tunnel was made of it");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_wants_a_subprotocol_is_told_the_same() {
    let (proxy, _backend) = closing().await;
    let _tunnel = proxy.connect().await;
    let wants = [
        ("sec-websocket-protocol", "chat, superchat"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ];
    let mut client = proxy.connect_to("/", &wants).await;
    assert_eq!(client.headers["sec-websocket-protocol"], "chat");
    assert!(client.headers.get("sec-websocket-extensions").is_none());
    assert_eq!(told(client.next().await).0, 1013);
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_is_heard_out_and_waited_for_but_not_for_ever() {
    let (proxy, _backend) = closing().await;
    let _tunnel = proxy.connect().await;
    let early = [
        handshake("/", &[]).into_bytes(),
        frame(0x81, b"hello", Role::Client),
    ];
    let mut client = proxy.raw().await;
    client.send(early.concat()).await;
    assert_eq!(status(&client.head().await), "101");
    let close = client.frame().await.unwrap();
    assert_eq!(close.close().unwrap().0, CloseCode::TRY_AGAIN_LATER);

    client.send(frame(0x82, &[0; 70_000], Role::Client)).await;
    let start = Instant::now();
    let answer = longwire::websocket::frame::close(CloseCode(1013), "", Role::Client);
    client.send(answer).await;
    assert!(client.frame().await.is_none());
    assert!(start.elapsed() < Duration::from_secs(1));

    let mut mute = ask(&proxy).await;
    mute.head().await;
    mute.frame().await.unwrap();
    let start = Instant::now();
    assert!(mute.frame().await.is_none());
    let waited = start.elapsed();
    assert!((9..=11).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_for_now_is_told_by_a_close() {
    in_slow_motion();
    let dead = Backend::refusing().await;
    let proxy = Proxy::fronting([&dead]).route("refusal = \"close\"");
    let proxy = proxy.start().await;
    assert_eq!(status(&answer(&proxy).await), "502");
}

#[tokio::test]
async fn a_storm_is_one_line_in_the_log_and_each_refusal_an_event() {
    let backend = RawBackend::listen();
    let folder = Folder::new();
    folder.configure(
        backend.address,
        "[admission]\nhandshakes = 1\nqueue = 0\n[log]\nformat = \"json\"",
    );
    let mut process = folder.start(&[]);
    let address: SocketAddr = process.address().await;
    let connect = async || {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut client = Raw::new(socket);
        client.ask_for_websocket("/").await;
        client
    };
    let first = connect().await;
    let _under_way = backend.accept().await;
    for _ in 0..20 {
        assert_eq!(status(&connect().await.head().await), "503");
    }
    drop(first);
    let log = process.stop().await;
    let lines = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    assert_eq!(lines("handshakes are refused"), 1, "{log:#?}");
    assert_eq!(lines("\"status\":503"), 20, "{log:#?}");
    assert_eq!(lines("a request failed"), 0, "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_in_the_line_of_a_stopping_proxy_is_served() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).config("[admission]\nrate = 1\nburst = 1");
    let mut proxy = proxy.start().await;
    assert_eq!(status(&answer(&proxy).await), "101");
    let mut second = ask(&proxy).await;
    assert!(second.is_silent().await, "it waits");
    proxy.stop();
    assert_eq!(status(&second.head().await), "101");
    let close = second.frame().await.unwrap();
    assert_eq!(close.close().unwrap().0, CloseCode::GOING_AWAY);
}

#[tokio::test]
async fn those_who_came_to_the_gates_of_the_proxy_are_counted_on_after_a_reload() {
    let backends = echo_cluster(1).await;
    let with = |burst: usize| {
        let client = format!("client = {{ rate = 100, burst = {burst} }}");
        let lines = format!("[admission]\nrate = 1000\nburst = {burst}\n{client}");
        Proxy::fronting(&backends).config(&lines)
    };
    let proxy = with(10).start().await;
    let mut clients = vec![proxy.connect().await, proxy.connect().await];
    proxy.reload(with(20)).await.unwrap();
    clients.push(proxy.connect().await);

    let of_all = proxy.control.proxy().queue();
    assert_eq!((of_all.waits.count(), of_all.most), (3, Some(1000)));
    let of_clients = proxy.control.proxy().client_queues();
    assert_eq!((of_clients.waits.count(), of_clients.most), (3, Some(0)));
    let of_pool = proxy.pools[0].queue();
    assert_eq!((of_pool.waits.count(), of_pool.most), (0, None));
}
