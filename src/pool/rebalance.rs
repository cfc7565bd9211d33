//! How many tunnels the members of a pool have beyond their fair shares.
//!
//! Tunnels stay where they were opened, so a member that comes back, or a new one, would be nearly
//! empty for hours. Here is worked out who has too many; that some of them are closed, so that their
//! clients come back elsewhere, is for others to see to.

use std::{
    cmp::Ordering,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::{sync::watch, time::Instant};
use tracing::info;

use super::{
    Pool,
    backend::{Backend, BackendId},
    standing::{FULL, State},
};
use crate::{config, metrics::Count};

/// A member that takes new clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Tunnels that it keeps: without those that are being closed.
    pub tunnels: usize,
    /// Its share of new clients beside the others'.
    pub weight: u64,
    /// Tunnels that it may have at most.
    pub max: Option<usize>,
}

/// The tunnels of a pool cannot be rebalanced: its clients would come back to the same backends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("clients with affinity by {affinity} would come back to the same backend")]
pub struct Fixed {
    /// What their affinity is by.
    pub affinity: String,
}

/// For each member, how many tunnels it has in excess of its fair share and of the `tolerance` above
/// that, in percent, and of what balance would give it again. `returning` clients are on their way
/// and will be balanced too.
#[must_use]
pub fn excess(members: &[Member], returning: usize, tolerance: u32) -> Vec<usize> {
    let (sharing, share) = fair_share(members, returning);
    let heaviest = share.heaviest(&sharing);
    let limit = |member: &Member| {
        let tolerated = share.of(member, 100 + u128::from(tolerance));
        tolerated.max(heaviest.within(member))
    };
    members
        .iter()
        .map(|member| member.tunnels.saturating_sub(limit(member)))
        .collect()
}

/// Whether the member with that index has more than its fair share.
#[must_use]
pub fn is_above(members: &[Member], index: usize) -> bool {
    let member = &members[index];
    let (_, share) = fair_share(members, 0);
    member.tunnels > share.of(member, 100)
}

impl Member {
    fn has_room(&self) -> bool {
        self.max.is_none_or(|max| self.tunnels < max)
    }

    /// What it carries for its weight with so many tunnels more.
    fn burden_with(&self, more: usize) -> Share {
        Share {
            tunnels: (self.tunnels + more) as u128,
            weight: u128::from(self.weight),
        }
    }
}

impl Pool {
    /// How its tunnels are rebalanced, if that is configured.
    #[must_use]
    pub fn rebalance(&self) -> Option<&config::Rebalance> {
        self.config.rebalance.as_ref()
    }

    /// How its tunnels are rebalanced whenever they are.
    #[must_use]
    pub fn rebalance_terms(&self) -> config::Rebalance {
        self.config.rebalance.unwrap_or_default()
    }

    /// Whether its tunnels are rebalanced, and when that changes.
    #[must_use]
    pub fn rebalancing(&self) -> watch::Receiver<bool> {
        self.rebalancing.subscribe()
    }

    /// Whether its tunnels are rebalanced.
    #[must_use]
    pub fn is_rebalanced(&self) -> bool {
        *self.rebalancing.borrow()
    }

    /// Has its tunnels rebalanced from now on, or not any more, until what is configured changes.
    ///
    /// # Errors
    /// If that would move nobody.
    pub fn set_rebalanced(&self, wanted: bool) -> Result<(), Fixed> {
        if wanted && !self.config.can_be_rebalanced() {
            let affinity = self.config.affinity.to_string();
            return Err(Fixed { affinity });
        }
        if self.rebalancing.send_replace(wanted) != wanted {
            let does = if wanted { "begins" } else { "ends" };
            info!(pool = self.name(), "the rebalance {does}");
        }
        Ok(())
    }

    /// How many tunnels members have in excess of their fair share and of the `tolerance` above it,
    /// in percent. Of those that `closing` says are on their way out, and of clients on their way
    /// back as many as `returning`.
    #[must_use]
    pub fn excess(
        &self,
        closing: impl Fn(BackendId) -> usize,
        returning: usize,
        tolerance: u32,
    ) -> Vec<(BackendId, usize)> {
        let now = Instant::now();
        let ready = self.ready(now);
        // One that is coming back gets little as yet, but keeps what it has.
        let beyond = |share: fn(&Backend, Instant) -> u64| {
            let members = ready
                .iter()
                .map(|backend| backend.member(closing(backend.id()), share(backend, now)));
            excess(&members.collect::<Vec<_>>(), returning, tolerance)
        };
        let least = beyond(Backend::parts).into_iter().zip(beyond(|_, _| FULL));
        let least = least.map(|(now, later)| now.min(later));
        let ids = ready.iter().map(|backend| backend.id());
        ids.zip(least).collect()
    }

    /// Whether its rebalance pauses, since too few of the clients that were told come back.
    #[must_use]
    pub fn is_rebalance_paused(&self) -> bool {
        self.is_rebalanced() && self.counts.rebalance_pauses.load(Relaxed)
    }

    /// Says whether its rebalance pauses.
    pub fn show_rebalance_pause(&self, pauses: bool) {
        self.counts.rebalance_pauses.store(pauses, Relaxed);
    }

    /// A client of a member was sent away, so that it is balanced when it comes back.
    pub fn sends_away(&self, from: BackendId) {
        self.counts.rebalanced.add(1);
        if let Some(member) = self.member_with(from) {
            member.departures().note(Instant::now());
        }
    }

    /// Whether a client that comes back to the member with that index may go to another one: as one
    /// of those that were sent away, and as long as the member has more than its share.
    pub(super) fn lets_go(&self, index: usize) -> bool {
        let now = Instant::now();
        let home = &self.backends[index];
        if !home.departures().are_awaited(now) {
            return false;
        }
        let ready = self.ready(now);
        let members = ready.iter().map(|backend| backend.member(0, FULL));
        let members: Vec<_> = members.collect();
        let place = ready.iter().position(|backend| backend.id() == home.id());
        place.is_some_and(|place| is_above(&members, place) && home.departures().take(now))
    }

    fn ready(&self, now: Instant) -> Vec<&Backend> {
        let members = self.backends.iter().map(Arc::as_ref);
        members
            .filter(|backend| backend.state(now) == State::Ready)
            .collect()
    }
}

/// So many tunnels for so much weight.
#[derive(Debug, Clone, Copy)]
struct Share {
    tunnels: u128,
    weight: u128,
}

/// What each member would have for its weight if all tunnels were opened now. One that may not have
/// that much has what it may, and the others share the rest: these come with it.
fn fair_share(members: &[Member], returning: usize) -> (Vec<&Member>, Share) {
    let mut sharing: Vec<&Member> = members.iter().collect();
    let mut tunnels: usize = members.iter().map(|member| member.tunnels).sum::<usize>() + returning;
    loop {
        let share = Share {
            tunnels: tunnels as u128,
            weight: sharing.iter().map(|member| u128::from(member.weight)).sum(),
        };
        let before = sharing.len();
        sharing.retain(|member| {
            let max = member.max.filter(|max| *max < share.of(member, 100));
            tunnels = tunnels.saturating_sub(max.unwrap_or(0));
            max.is_none()
        });
        if sharing.len() == before {
            return (sharing, share);
        }
    }
}

impl Share {
    /// That many percent of a member's share, rounded up.
    fn of(&self, member: &Member, percent: u128) -> usize {
        if self.weight == 0 {
            return usize::MAX;
        }
        let exact = self.tunnels * u128::from(member.weight) * percent;
        usize::try_from(exact.div_ceil(self.weight * 100)).unwrap_or(usize::MAX)
    }

    /// What of a member's share is whole.
    fn within(&self, member: &Member) -> usize {
        let exact = self.tunnels * u128::from(member.weight);
        let whole = exact.checked_div(self.weight).map(usize::try_from);
        whole.and_then(Result::ok).unwrap_or(usize::MAX)
    }

    /// What the one has that carries most for its weight, once balance has given those who are
    /// `sharing` each tunnel of the whole, one after the other. That may be more than the fair share
    /// rounded up: among small numbers, one tunnel more weighs less on a heavy member than the first
    /// ones on several light ones.
    fn heaviest(&self, sharing: &[&Member]) -> Self {
        let mut given: Vec<_> = sharing
            .iter()
            .map(|member| Member {
                // Balance leaves nobody with less.
                tunnels: self.within(member),
                ..**member
            })
            .collect();
        let whole: usize = given.iter().map(|member| member.tunnels).sum();
        for _ in whole as u128..self.tunnels {
            let with_room = given.iter_mut().filter(|member| member.has_room());
            let least = with_room.min_by(|a, b| by_burden(&a.burden_with(1), &b.burden_with(1)));
            let Some(least) = least else { break };
            least.tunnels += 1;
        }
        let burdens = given.iter().map(|member| member.burden_with(0));
        burdens.max_by(by_burden).unwrap_or(*self)
    }
}

fn by_burden(a: &Share, b: &Share) -> Ordering {
    (a.tunnels * b.weight).cmp(&(b.tunnels * a.weight))
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        config::Config,
        pool::{
            backend::{Lease, Use},
            balance::Choice,
        },
    };

    fn member(tunnels: usize, weight: u64) -> Member {
        Member {
            tunnels,
            weight,
            max: None,
        }
    }

    fn full(tunnels: usize) -> Member {
        Member {
            max: Some(tunnels),
            ..member(tunnels, 1)
        }
    }

    #[test]
    fn what_the_others_have_too_many_is_what_the_empty_one_lacks() {
        let members = [member(60, 1), member(60, 1), member(0, 1)];
        assert_eq!(excess(&members, 0, 0), [20, 20, 0]);
        assert_eq!(excess(&members, 0, 10), [16, 16, 0]);
        assert_eq!(excess(&members, 0, 50), [0, 0, 0]);
    }

    #[test]
    fn a_share_is_as_large_as_the_weight() {
        assert_eq!(excess(&[member(40, 3), member(40, 1)], 0, 0), [0, 20]);
        assert_eq!(excess(&[member(60, 3), member(20, 1)], 0, 0), [0, 0]);
        // One that is coming back is not to get everything at once.
        let slow = [member(100, 1_000), member(0, 100)];
        assert_eq!(excess(&slow, 0, 0), [9, 0]);
    }

    #[test]
    fn whoever_is_on_the_way_back_will_be_shared_too() {
        let members = [member(44, 1), member(60, 1), member(0, 1)];
        assert_eq!(excess(&members, 16, 10), [0, 16, 0]);
    }

    #[test]
    fn a_full_member_takes_nothing_and_the_others_share_the_rest() {
        let members = [full(10), member(100, 1), member(100, 1)];
        assert_eq!(excess(&members, 0, 0), [0, 0, 0]);
        let members = [full(10), member(150, 1), member(50, 1)];
        assert_eq!(excess(&members, 0, 0), [0, 50, 0]);
        assert_eq!(
            excess(&[full(10), member(50, 1)], 0, 0),
            [0, 0],
            "nobody could take them"
        );
        let roomy = Member {
            max: Some(20),
            ..member(0, 1)
        };
        assert_eq!(excess(&[roomy, member(100, 1)], 0, 0), [0, 20]);
    }

    #[test]
    fn nobody_has_too_much_where_there_is_nobody_else() {
        assert_eq!(excess(&[], 5, 0), Vec::<usize>::new());
        assert_eq!(excess(&[member(100, 1)], 0, 0), [0]);
        assert_eq!(excess(&[full(10), full(10)], 0, 0), [0, 0]);
    }

    #[test]
    fn above_is_whoever_has_more_than_its_share_however_little() {
        let members = [member(41, 1), member(40, 1), member(39, 1)];
        assert!(is_above(&members, 0));
        assert!(!is_above(&members, 1));
        assert!(!is_above(&members, 2));
    }

    #[test]
    fn a_heavy_member_may_have_more_than_its_share_while_the_next_would_weigh_more_on_light_ones() {
        let mut members = [13, 11, 15, 45, 4].map(|weight| member(0, weight));
        for _ in 0..13 {
            balance(&mut members);
        }
        assert_eq!(members.map(|member| member.tunnels), [2, 1, 2, 8, 0]);
        assert_eq!(excess(&members, 0, 5), [0; 5], "the share is 6.6");
        members[3].tunnels += 1;
        members[2].tunnels -= 1;
        assert_eq!(excess(&members, 0, 5), [0, 0, 0, 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_sent_away_who_would_be_balanced_to_the_same_member() {
        let text = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"a\"\n\
                    [pool.a]\nbalance = \"least-tunnels\"\n\
                    backends = [{ address = \"a:1\", weight = 5 }, \"b:1\", \"c:1\", \"d:1\"]";
        let config = Config::parse(text, "test", Path::new("")).unwrap();
        let pool = Pool::new(&config.pools[0], &config.timeouts, &config.limits, 1).unwrap();
        let now = Instant::now();
        let mut leases = Vec::new();
        for clients in 1..=100 {
            let chosen = pool
                .balancer
                .choose(pool.backends(), |_| true, Choice::First, now);
            leases.push(Lease::of(&pool.backends()[chosen.unwrap()], Use::Tunnel));
            let excess = pool.excess(|_| 0, 0, 5);
            assert!(
                excess.iter().all(|(_, excess)| *excess == 0),
                "{excess:?} of {clients}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_counts_is_who_is_ready_and_how_far_it_has_come_back() {
        let text = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"a\"\n\
                    [pool.a]\nbackends = [\"a:1\", \"b:1\"]\nslow_start = \"10s\"";
        let config = Config::parse(text, "test", Path::new("")).unwrap();
        let pool = Pool::new(&config.pools[0], &config.timeouts, &config.limits, 1).unwrap();
        let (full, back) = (&pool.backends()[0], &pool.backends()[1]);
        let leases: Vec<_> = (0..110)
            .filter_map(|_| Lease::of(full, Use::Tunnel))
            .collect();
        let excess = |closing| {
            let excess = pool.excess(|id| if id == full.id() { closing } else { 0 }, 0, 0);
            excess.iter().map(|(_, excess)| *excess).sum::<usize>()
        };

        pool.goes_down(back, "no answer");
        assert_eq!(excess(0), 0, "nobody could take them");
        pool.comes_up(back);
        assert_eq!(excess(0), 10, "a tenth of a share is enough to begin with");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(excess(0), 55);
        assert_eq!(excess(10), 50, "those that are closing go anyway");
        drop(leases);
    }

    fn members() -> impl Strategy<Value = Vec<Member>> {
        let one = (0_usize..500, 1_u64..=100, prop::option::of(0_usize..300));
        let one = one.prop_map(|(tunnels, weight, room)| Member {
            tunnels,
            weight,
            max: room.map(|room| tunnels + room),
        });
        vec(one, 1..8)
    }

    /// Gives a new client to the member that carries least for its weight and has room.
    fn balance(members: &mut [Member]) {
        let burden = |member: &Member| (member.tunnels + 1) as f64 / member.weight as f64;
        let least = members
            .iter_mut()
            .filter(|member| member.has_room())
            .min_by(|a, b| burden(a).total_cmp(&burden(b)));
        least.expect("what was closed leaves room").tunnels += 1;
    }

    proptest! {
        #[test]
        fn nobody_is_brought_below_the_fair_share(
            members in members(),
            returning in 0_usize..100,
            tolerance in 0_u32..100,
        ) {
            let all = members.iter().map(|member| member.tunnels).sum::<usize>() + returning;
            let weight: u64 = members.iter().map(|member| member.weight).sum();
            for (member, excess) in members.iter().zip(excess(&members, returning, tolerance)) {
                let fair = all as f64 * member.weight as f64 / weight as f64;
                let kept = (member.tunnels - excess) as f64;
                let max = member.max.unwrap_or(usize::MAX) as f64;
                prop_assert!(excess == 0 || kept + 1e-6 >= fair.min(max), "{kept} of {fair}");
            }
        }

        #[test]
        fn what_new_clients_were_balanced_over_is_balanced(
            mut members in members(),
            clients in 0_usize..2_000,
        ) {
            members.iter_mut().for_each(|member| member.tunnels = 0);
            for _ in 0..clients {
                if members.iter().any(Member::has_room) {
                    balance(&mut members);
                }
            }
            let excess = excess(&members, 0, 5);
            prop_assert!(excess.iter().all(|excess| *excess == 0), "{excess:?} {members:?}");
        }

        /// Some are closed, some of those come back and are balanced, and so on.
        #[test]
        fn it_comes_to_rest_and_nobody_is_closed_twice(
            mut members in members(),
            steps in vec((1_usize..20, 0_usize..20), 400),
            tolerance in 5_u32..50,
        ) {
            let began: usize = members.iter().map(|member| member.tunnels).sum();
            let first: usize = excess(&members, 0, tolerance).into_iter().sum();
            let (mut closed, mut away) = (0, 0);
            for (rate, back) in steps {
                let mut left = rate;
                for (index, excess) in excess(&members, away, tolerance).into_iter().enumerate() {
                    let closing = excess.min(left);
                    members[index].tunnels -= closing;
                    left -= closing;
                    closed += closing;
                    away += closing;
                }
                for _ in 0..back.min(away) {
                    balance(&mut members);
                    away -= 1;
                }
            }
            while away > 0 {
                balance(&mut members);
                away -= 1;
            }
            let now: usize = members.iter().map(|member| member.tunnels).sum();
            prop_assert_eq!(now, began);
            prop_assert!(closed <= first, "{closed} closed of {first}");
            if closed < 400 {
                let rest = excess(&members, 0, tolerance);
                prop_assert!(rest.iter().all(|excess| *excess == 0), "{rest:?} {members:?}");
            }
        }
    }
}
