//! What is known of a day in the end.

use std::collections::BTreeMap;

use longwire::tunnel::Traffic;
use serde_json::{Value, json};

use super::day::{Day, End, traffic};

impl Day {
    pub(super) fn is_logged(&self) {
        let events = self.log.events("tunnel ended");
        assert_eq!(events.len(), self.ends.len(), "each once");
        let ends = events.iter().map(|event| {
            let id = event["tunnel"].as_u64().unwrap();
            (id, End::logged(event))
        });
        assert_eq!(ends.collect::<BTreeMap<_, _>>(), self.ends);
        assert_eq!(self.log.events("tunnel opened").len(), self.ends.len());
    }

    pub(super) async fn is_counted(&self) {
        let scrape = self.operator.scrape().await;
        let labels = ["by", "cause", "code"];
        let counted = scrape.by("longwire_tunnels_ended_total", labels);
        let counted = counted
            .into_iter()
            .map(|(labels, count)| (labels.map(str::to_owned), count as u64));
        assert_eq!(counted.collect::<BTreeMap<_, _>>(), self.counts());
        let sum = |name| scrape.sum(name, &[]) as usize;
        assert_eq!(sum("longwire_tunnels_opened_total"), self.ends.len());
        assert_eq!(
            sum("longwire_tunnel_lifetime_seconds_count"),
            self.ends.len()
        );
        assert_eq!(sum("longwire_tunnels"), 0);
        let ends = || self.ends.values();
        for (side, all) in [
            ("client", total(ends().map(|end| end.client))),
            ("backend", total(ends().map(|end| end.backend))),
        ] {
            let of_side = |name| scrape.sum(name, &[("side", side)]) as u64;
            assert_eq!(of_side("longwire_tunnel_bytes_total"), all.bytes);
            assert_eq!(of_side("longwire_tunnel_messages_total"), all.messages);
            assert_eq!(of_side("longwire_peers_dead_total"), 1);
        }
    }

    pub(super) async fn is_told_at_the_door(&self) {
        let status = self.operator.get("status").await;
        let told = status["ends"].as_array().unwrap().iter().map(|ends| {
            let label = |name: &str| ends[name].as_str().unwrap().to_owned();
            (
                [label("by"), label("cause"), label("code")],
                ends["count"].as_u64().unwrap(),
            )
        });
        let told: Vec<_> = told.collect();
        assert!(told.is_sorted_by(|(_, one), (_, other)| one >= other));
        assert_eq!(told.into_iter().collect::<BTreeMap<_, _>>(), self.counts());
        let all = self.ends.len();
        let tunnels = json!({ "open": 0, "closing": 0, "opened": all, "ended": all });
        assert_eq!(status["tunnels"], tunnels);
        assert_eq!(status["readiness"], "stopping");
    }

    /// How many have ended in which way, by the names that count there.
    fn counts(&self) -> BTreeMap<[String; 3], u64> {
        let mut counts = BTreeMap::new();
        for end in self.ends.values() {
            let code = match end.code {
                None => "none".to_owned(),
                Some(3001..=3999) => "3xxx".to_owned(),
                Some(4000..=4999) => "4xxx".to_owned(),
                Some(code) => code.to_string(),
            };
            let labels = [end.by.clone(), end.cause.clone(), code];
            *counts.entry(labels).or_default() += 1;
        }
        counts
    }
}

impl End {
    fn logged(event: &Value) -> Self {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        Self {
            by: text("ended_by"),
            cause: text("cause"),
            code: event["close_code"].as_u64(),
            client: traffic(event, "client"),
            backend: traffic(event, "backend"),
        }
    }
}

fn total(all: impl Iterator<Item = Traffic>) -> Traffic {
    all.fold(Traffic::default(), |sum, one| Traffic {
        bytes: sum.bytes + one.bytes,
        messages: sum.messages + one.messages,
    })
}
