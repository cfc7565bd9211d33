//! When the new process fails amid the tunnels.

use std::{cell::Cell, os::fd::AsFd, pin::pin, time::Duration};

use futures_util::poll;
use serde_json::json;
use tokio::time::Instant;

use super::rig::{Dossier, give, named, ready_for_the_rude, rude_and_ready, tunnel};
use crate::server::upgrade::{Broken, Parcel};

#[tokio::test]
async fn when_it_dies_all_come_back_that_it_has_not_taken() {
    let (giving, mut new) = ready_for_the_rude().await;
    let (mut offered, giving) = give(giving, (0..200).map(|index| named(&index)));
    let new = async move {
        for _ in 0..3 {
            let id = new.tunnel().await;
            new.say(&json!({ "taken": { "id": id } })).await;
        }
        new.tunnel().await;
    };

    let (given, ()) = tokio::join!(giving, new);

    assert_eq!((given.taken, given.refused), (3, 0));
    assert!(given.broken.is_some());
    for mut offered in offered.drain(..3) {
        assert!(offered.is_taken());
    }
    for offered in offered {
        offered.returned();
    }
}

#[tokio::test(start_paused = true)]
async fn when_it_hangs_few_are_on_their_way_and_all_come_back_soon() {
    let (giving, mut new) = ready_for_the_rude().await;
    let (offered, giving) = give(giving, (0..200).map(|index| named(&index)));
    let began = Instant::now();

    let given = giving.await;

    assert!(matches!(given.broken, Some(Broken::Silent)));
    assert_eq!(given.taken, 0);
    assert_eq!(began.elapsed().as_secs(), 5);
    for offered in offered {
        assert_eq!(offered.returned(), "the other process does not answer");
    }
    for _ in 0..64 {
        new.tunnel().await;
    }
    assert!(
        new.receiver
            .receive::<serde_json::Value>()
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn when_it_takes_not_even_one_whole_it_comes_back_too() {
    let (giving, _new) = ready_for_the_rude().await;
    let (offered, giving) = give(giving, [Dossier::Huge(8 << 20), named("behind it")]);
    let given = giving.await;
    assert!(matches!(given.broken, Some(Broken::Silent)));
    for offered in offered {
        offered.returned();
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_slow_is_waited_for_as_long_as_it_answers() {
    let (giving, mut new) = ready_for_the_rude().await;
    let (mut offered, giving) = give(giving, (0..100).map(|index| named(&index)));
    let new = async move {
        for _ in 0..100 {
            let id = new.tunnel().await;
            tokio::time::sleep(Duration::from_secs(4)).await;
            new.say(&json!({ "taken": { "id": id } })).await;
        }
    };
    let (given, ()) = tokio::join!(giving, new);
    assert_eq!(given.taken, 100);
    assert!(offered.iter_mut().all(|offered| offered.is_taken()));
}

#[tokio::test(start_paused = true)]
async fn the_old_process_may_take_its_time_between_two_tunnels() {
    let (giving, mut new) = ready_for_the_rude().await;
    let (offers, offered) = tokio::sync::mpsc::channel(1);
    let old = async move {
        for name in ["first", "second"] {
            let (_ends, parcel) = tunnel(named(name));
            let (answer, answered) = tokio::sync::oneshot::channel();
            let offer = crate::server::upgrade::Offer { parcel, answer };
            offers.send(offer).await.ok().unwrap();
            answered.await.unwrap();
            tokio::time::sleep(Duration::from_secs(100)).await;
        }
    };
    let new = async move {
        for _ in 0..2 {
            let id = new.tunnel().await;
            new.say(&json!({ "taken": { "id": id } })).await;
        }
        assert_eq!(new.hear().await, json!({ "done": {} }));
    };
    let (given, (), ()) = tokio::join!(giving.give(offered), old, new);
    assert_eq!(given.taken, 2);
    assert!(given.broken.is_none(), "{given:?}");
}

#[tokio::test]
async fn what_it_has_taken_counts_whatever_else_it_says() {
    let (giving, mut new) = ready_for_the_rude().await;
    let (mut offered, giving) = give(giving, (0..3).map(|index| named(&index)));
    let new = async move {
        let ids = [new.tunnel().await, new.tunnel().await, new.tunnel().await];
        new.say(&json!({ "ready": {} })).await;
        new.say(&json!({ "taken": { "id": 1000 } })).await;
        new.say(&json!("what?")).await;
        new.say(&json!({ "taken": { "id": ids[1] } })).await;
    };

    let (given, ()) = tokio::join!(giving, new);

    assert!(
        matches!(given.broken, Some(Broken::Confused("ready"))),
        "{given:?}"
    );
    assert_eq!(given.taken, 1);
    assert!(offered.remove(1).is_taken());
    for offered in offered {
        assert!(offered.returned().contains("says ready"));
    }
}

#[tokio::test]
async fn one_that_talks_nonsense_gets_no_second_half_of_a_tunnel() {
    let (giving, mut new) = ready_for_the_rude().await;
    let (offered, giving) = give(giving, [Dossier::Huge(8 << 20)]);
    let mut giving = pin!(giving);
    assert!(poll!(&mut giving).is_pending());
    new.say(&json!("what?")).await;

    let given = giving.await;

    let nonsense = given.broken.map(|broken| broken.to_string());
    assert_eq!(
        nonsense.as_deref(),
        Some("a frame is not what was expected")
    );
    assert_eq!(given.refused, 0);
    for offered in offered {
        offered.returned();
    }
}

#[tokio::test]
async fn one_that_wakes_up_too_late_takes_nothing() {
    let (mut old, arriving) = rude_and_ready().await;
    let (ends, parcel) = tunnel(named("late"));
    let sockets = [parcel.client.as_fd(), parcel.backend.as_fd()];
    let late = json!({ "tunnel": { "id": 1, "dossier": { "Named": "late" } } });
    old.sender.send(&late, &sockets).await.unwrap();
    old.receiver.close();

    let (adopted, went_on) = (Cell::new(0), Cell::new(0));
    let taken = arriving.take(|_: Parcel<Dossier>| {
        adopted.set(adopted.get() + 1);
        Ok(|| went_on.set(went_on.get() + 1))
    });

    assert!(matches!(taken.await, Err(Broken::Channel(_))));
    assert_eq!((adopted.get(), went_on.get()), (1, 0));
    ends.talk_through(parcel);
}

#[tokio::test]
async fn a_new_process_learns_that_the_old_one_has_left_amid_the_tunnels() {
    let (old, arriving) = rude_and_ready().await;
    drop(old);
    let taken = arriving.take(|_: Parcel<Dossier>| Ok(|| {})).await;
    assert!(matches!(taken, Err(Broken::Left)), "{taken:?}");
}
