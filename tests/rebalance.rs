//! Where a backend has too many tunnels, some are moved to those that have too few.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use longwire::{config::Intent, pool::backend::Backend as Member};
use tokio::{
    spawn,
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Backend, Client, Proxy, ProxyBuilder, echo_cluster, in_slow_motion};

/// A client was told to close.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    /// Its number.
    client: usize,
    at: Instant,
    code: u16,
    reason: String,
    from: SocketAddr,
}

/// A proxy before three backends of which the last is out at first, and clients that come back
/// whenever they are closed, a moment later and with the cookie that they were given last.
struct Story {
    proxy: Proxy,
    backends: Vec<Backend>,
    tell: mpsc::UnboundedSender<Told>,
    told: mpsc::UnboundedReceiver<Told>,
    clients: usize,
    /// How long clients are away.
    pause: Duration,
}

impl Story {
    async fn begin(configure: impl FnOnce(ProxyBuilder) -> ProxyBuilder) -> Self {
        in_slow_motion();
        let backends = echo_cluster(3).await;
        let entries = [
            backends[0].entry("weight = 1"),
            backends[1].entry("weight = 1"),
            backends[2].entry("state = \"maintenance\""),
        ];
        let proxy = configure(Proxy::fronting_entries(entries)).start().await;
        let (tell, told) = mpsc::unbounded_channel();
        Self {
            proxy,
            backends,
            tell,
            told,
            clients: 0,
            pause: Duration::from_millis(200),
        }
    }

    async fn clients_arrive(&mut self, count: usize) {
        for _ in 0..count {
            let client = self.proxy.connect().await;
            let (address, tell) = (self.proxy.address, self.tell.clone());
            spawn(come_back(client, self.clients, self.pause, address, tell));
            self.clients += 1;
        }
    }

    fn member(&self, index: usize) -> &Arc<Member> {
        &self.proxy.pools[0].backends()[index]
    }

    fn third_comes_back(&self) {
        self.proxy.pools[0].intend(self.member(2), Intent::Ready);
    }

    fn tunnels(&self) -> [usize; 3] {
        [0, 1, 2].map(|index| self.member(index).tunnels())
    }

    /// Who has been told so far.
    fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Ok(one) = self.told.try_recv() {
            told.push(one);
        }
        told
    }
}

async fn come_back(
    mut client: Client,
    number: usize,
    pause: Duration,
    proxy: SocketAddr,
    tell: mpsc::UnboundedSender<Told>,
) {
    let mut cookie = client.cookie().map(str::to_owned);
    loop {
        while let Some(message) = client.next().await {
            let Message::Close(Some(close)) = message else {
                continue;
            };
            let told = Told {
                client: number,
                at: Instant::now(),
                code: close.code.into(),
                reason: close.reason.to_string(),
                from: client.backend(),
            };
            // A test that has ended wants to hear no more.
            let _ = tell.send(told);
        }
        sleep(pause).await;
        let headers: Vec<_> = cookie.iter().map(|cookie| ("cookie", &**cookie)).collect();
        client = Client::connect(proxy, "/", &headers).await;
        cookie = client.cookie().map(str::to_owned).or(cookie);
    }
}

/// No second has more than that, but for a slot that begins before it and one that ends after.
fn assert_at_most(rate: usize, told: &[Told]) {
    for first in told {
        let second = first.at..first.at + Duration::from_secs(1);
        let count = told.iter().filter(|told| second.contains(&told.at)).count();
        assert!(count <= rate + 1, "{count} in a second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_comes_back_gets_its_share_at_the_rate_and_then_nothing_moves() {
    let configure = |proxy: ProxyBuilder| proxy.pool("rebalance = { rate = 3, min_age = \"1s\" }");
    let mut story = Story::begin(configure).await;
    story.clients_arrive(60).await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(story.tunnels(), [30, 30, 0]);
    assert_eq!(story.told(), [], "two that are even need nothing");

    story.third_comes_back();
    sleep(Duration::from_secs(90)).await;
    let tunnels = story.tunnels();
    assert!(
        tunnels[..2].iter().all(|count| (18..=22).contains(count)),
        "{tunnels:?}"
    );
    assert_eq!(tunnels.iter().sum::<usize>(), 60);
    let told = story.told();
    assert_at_most(3, &told);
    assert!((16..=20).contains(&told.len()), "{}", told.len());
    for told in &told {
        assert_eq!(
            (told.code, &*told.reason),
            (1012, "moving to another backend")
        );
        assert_ne!(told.from, story.backends[2].address);
    }

    sleep(Duration::from_secs(300)).await;
    assert_eq!(story.told(), [], "it has come to rest");
    assert_eq!(story.tunnels(), tunnels);
}

#[tokio::test(start_paused = true)]
async fn no_second_tells_more_than_the_rate() {
    let configure = |proxy: ProxyBuilder| {
        proxy.pool("rebalance = { rate = 2, min_age = \"1s\" }\nslow_start = \"off\"")
    };
    let mut story = Story::begin(configure).await;
    story.clients_arrive(60).await;
    sleep(Duration::from_secs(10)).await;
    story.third_comes_back();
    sleep(Duration::from_secs(30)).await;
    let told = story.told();
    assert!(told.len() >= 14, "{}", told.len());
    assert_at_most(2, &told);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_on_account_of_those_who_are_on_their_way() {
    let configure = |proxy: ProxyBuilder| {
        proxy.pool("rebalance = { rate = 50, min_age = \"1s\" }\nslow_start = \"off\"")
    };
    let mut story = Story::begin(configure).await;
    story.pause = Duration::from_secs(4);
    story.clients_arrive(60).await;
    sleep(Duration::from_secs(10)).await;
    story.third_comes_back();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(story.told().len(), 16);
    assert_eq!(story.tunnels(), [22, 22, 16]);
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_where_nobody_asked_for_it() {
    let mut story = Story::begin(|proxy| proxy).await;
    story.clients_arrive(20).await;
    story.third_comes_back();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(story.told(), []);
    assert_eq!(story.tunnels(), [10, 10, 0]);
}

#[tokio::test(start_paused = true)]
async fn cookies_do_not_lead_those_back_who_were_sent_away() {
    let configure = |proxy: ProxyBuilder| {
        let proxy = proxy.pool("rebalance = { rate = 5, min_age = \"1s\" }\nslow_start = \"off\"");
        proxy.affinity("\"cookie\"")
    };
    let mut story = Story::begin(configure).await;
    story.clients_arrive(30).await;
    story.third_comes_back();
    sleep(Duration::from_secs(60)).await;

    let tunnels = story.tunnels();
    assert!(tunnels[..2].iter().all(|count| *count <= 11), "{tunnels:?}");
    let mut times = HashMap::<usize, usize>::new();
    for told in story.told() {
        *times.entry(told.client).or_default() += 1;
    }
    assert!((8..=10).contains(&times.len()), "{times:?}");
    assert!(
        times.values().all(|times| *times == 1),
        "nobody came back in vain: {times:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cookie_still_leads_those_back_who_left_by_themselves() {
    let configure = |proxy: ProxyBuilder| {
        let proxy = proxy.pool("rebalance = { min_age = \"1h\" }\nslow_start = \"off\"");
        proxy.affinity("\"cookie\"")
    };
    let mut story = Story::begin(configure).await;
    story.clients_arrive(10).await;
    let leaving = story.proxy.connect().await;
    let (home, cookie) = (leaving.backend(), leaving.cookie().unwrap().to_owned());
    drop(leaving);
    story.third_comes_back();
    let again = story.proxy.connect_with_cookie(&cookie).await;
    assert_eq!(again.backend(), home);
    assert_eq!(again.cookie(), None);
}

#[tokio::test(start_paused = true)]
async fn a_cookie_is_given_anew_only_while_its_backend_has_too_many() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends).pool("rebalance = {}");
    let proxy = proxy.affinity("\"cookie\"").start().await;
    let first = proxy.connect().await;
    let pool = &proxy.pools[0];
    let is_home = |member: &&Arc<Member>| member.name() == first.backend().to_string();
    let home = pool.backends().iter().find(is_home).unwrap();
    pool.sends_away(home.id());
    pool.sends_away(home.id());

    let mut clients = Vec::new();
    for comes_home in [true, false, true, false, true] {
        let client = proxy.connect_with_cookie(first.cookie().unwrap()).await;
        assert_eq!(client.backend() == first.backend(), comes_home);
        assert_eq!(client.cookie().is_none(), comes_home, "it is told so");
        clients.push(client);
    }
}

#[tokio::test(start_paused = true)]
async fn the_young_are_left_alone_until_they_are_old_enough() {
    let configure = |proxy: ProxyBuilder| {
        proxy.pool("rebalance = { rate = 50, min_age = \"60s\" }\nslow_start = \"off\"")
    };
    let mut story = Story::begin(configure).await;
    let began = Instant::now();
    story.clients_arrive(20).await;
    story.third_comes_back();
    sleep(Duration::from_secs(59)).await;
    assert_eq!(story.told(), []);

    sleep(Duration::from_secs(30)).await;
    let told = story.told();
    assert!((4..=7).contains(&told.len()), "{}", told.len());
    let first = told[0].at - began;
    assert!(first >= Duration::from_secs(60), "{first:?}");
}

/// The numbers of those of 20 that are moved, where the first 10 came a minute before the others.
async fn moved_first(order: &str) -> Vec<usize> {
    let keys = format!("rebalance = {{ order = \"{order}\", min_age = \"1s\" }}");
    let configure = |proxy: ProxyBuilder| proxy.pool(&keys).pool("slow_start = \"off\"");
    let mut story = Story::begin(configure).await;
    story.clients_arrive(10).await;
    sleep(Duration::from_secs(60)).await;
    story.clients_arrive(10).await;
    sleep(Duration::from_secs(10)).await;
    story.third_comes_back();
    sleep(Duration::from_secs(60)).await;
    let moved: Vec<_> = story.told().iter().map(|told| told.client).collect();
    assert!((4..=7).contains(&moved.len()), "{moved:?}");
    moved
}

#[tokio::test(start_paused = true)]
async fn the_oldest_go_first() {
    let moved = moved_first("oldest").await;
    assert!(moved.iter().all(|client| *client < 10), "{moved:?}");
}

#[tokio::test(start_paused = true)]
async fn the_newest_go_first_if_so_configured() {
    let moved = moved_first("newest").await;
    assert!(moved.iter().all(|client| *client >= 10), "{moved:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_are_told_while_too_many_have_not_ended() {
    in_slow_motion();
    let (server, mut arrivals) = Backend::played().await;
    let spare = Backend::echo().await;
    let entries = [
        server.entry("weight = 1"),
        spare.entry("state = \"maintenance\""),
    ];
    let keys =
        "rebalance = { rate = 100, max_closing = 3, min_age = \"1s\" }\nslow_start = \"off\"";
    let proxy = Proxy::fronting_entries(entries).pool(keys);
    let proxy = proxy.config("[timeouts]\nclose = \"1h\"").start().await;
    // They never answer a Close.
    let mut stubborn = Vec::new();
    for _ in 0..20 {
        stubborn.push(proxy.open_to(&mut arrivals).await);
    }
    let pool = &proxy.pools[0];
    pool.intend(&pool.backends()[1], Intent::Ready);
    sleep(Duration::from_secs(15)).await;

    let mut closed = 0;
    for (client, _) in &mut stubborn {
        closed += usize::from(!client.is_silent().await);
    }
    assert_eq!(closed, 3);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_was_away_keeps_the_tunnels_that_it_kept() {
    let ways: [fn(&Proxy, &Member); 2] = [
        |proxy, member| {
            proxy.pools[0].goes_down(member, "its checks are wrong");
            proxy.pools[0].comes_up(member);
        },
        |proxy, member| {
            proxy.pools[0].intend(member, Intent::Maintenance);
            proxy.pools[0].intend(member, Intent::Ready);
        },
    ];
    in_slow_motion();
    for away_and_back in ways {
        let backends = echo_cluster(3).await;
        let proxy = Proxy::fronting(&backends)
            .pool("rebalance = { rate = 50, min_age = \"1s\" }")
            .start()
            .await;
        let mut clients = Vec::new();
        for _ in 0..30 {
            clients.push(proxy.connect().await);
        }
        let members = proxy.pools[0].backends();
        away_and_back(&proxy, &members[0]);
        // As long as it takes to move some, and to cut those who do not answer.
        sleep(Duration::from_secs(16)).await;
        let tunnels = members.iter().map(|member| member.tunnels());
        assert_eq!(tunnels.collect::<Vec<_>>(), [10, 10, 10]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_starts_and_stops_what_nobody_has_configured() {
    let old = |proxy: ProxyBuilder| proxy.pool("slow_start = \"off\"");
    let mut story = Story::begin(old).await;
    story.clients_arrive(60).await;
    story.third_comes_back();
    // The default leaves younger ones alone.
    sleep(Duration::from_secs(330)).await;
    assert_eq!(story.told(), []);

    let pool = story.proxy.control.rebalance("main", true).unwrap();
    assert!(pool.is_rebalanced() && pool.rebalance().is_none());
    sleep(Duration::from_millis(500)).await;
    story.proxy.control.rebalance("main", false).unwrap();
    sleep(Duration::from_secs(60)).await;
    let told = story.told().len();
    assert!((4..=6).contains(&told), "{told}");
    assert_eq!(pool.totals().rebalanced, told as u64);

    story.proxy.control.rebalance("main", true).unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(story.told().len(), 16 - told);
    assert!(story.proxy.control.rebalance("other", true).is_err());
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_wants_holds_until_the_file_says_something_else_of_it() {
    let backends = echo_cluster(2).await;
    let with = |lines: &str| Proxy::fronting(&backends).pool(lines);
    let proxy = with("rebalance = { rate = 3 }").start().await;
    let is_rebalanced = || proxy.control.pools()[0].is_rebalanced();
    assert!(is_rebalanced());
    proxy.control.rebalance("main", false).unwrap();
    let elsewhere = with("rebalance = { rate = 3 }\nslow_start = \"off\"");
    proxy.reload(elsewhere).await.unwrap();
    assert!(!is_rebalanced());
    proxy
        .reload(with("rebalance = { rate = 4 }"))
        .await
        .unwrap();
    assert!(is_rebalanced());

    proxy.reload(with("")).await.unwrap();
    assert!(!is_rebalanced());
    proxy.control.rebalance("main", true).unwrap();
    let fixed = with("affinity = \"ip\"");
    proxy.reload(fixed).await.unwrap();
    assert!(!is_rebalanced(), "they would come back to where they were");
    let refused = proxy.control.rebalance("main", true).unwrap_err();
    assert!(refused.to_string().contains("affinity by ip"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn where_clients_never_come_back_it_pauses_and_says_so() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let entries = [
        backends[0].entry("weight = 1"),
        backends[1].entry("state = \"maintenance\""),
    ];
    let keys = "rebalance = { rate = 100, min_age = \"1s\" }\nslow_start = \"off\"";
    let proxy = Proxy::fronting_entries(entries).pool(keys).start().await;
    for _ in 0..200 {
        let mut client = proxy.connect().await;
        // Told, it answers and is gone for good.
        spawn(async move { while client.next().await.is_some() {} });
    }
    let pool = &proxy.pools[0];
    pool.intend(&pool.backends()[1], Intent::Ready);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(pool.totals().rebalanced, 10, "of the 100 that are too many");
    assert!(pool.is_rebalance_paused());

    // Now and then one more is told; others who come meanwhile make the difference smaller.
    sleep(Duration::from_secs(1_200)).await;
    let told = pool.totals().rebalanced;
    assert!((11..=12).contains(&told), "{told}");
    proxy.control.rebalance("main", false).unwrap();
    assert!(!pool.is_rebalance_paused());
}
