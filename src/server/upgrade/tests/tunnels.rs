//! Tunnels that move.

use std::{cell::RefCell, rc::Rc};

use serde_json::json;

use super::rig::{Dossier, all_is_quiet, give, named, ready, ready_for_the_rude, rude_and_ready};
use crate::server::upgrade::Parcel;

#[tokio::test]
async fn every_tunnel_arrives_with_both_its_sockets() {
    let (giving, arriving) = ready().await;
    let (offered, giving) = give(giving, (0..500).map(|index| named(&index)));
    let arrived = Rc::default();
    let taking = arriving.take(|parcel: Parcel<Dossier>| {
        let arrived: Rc<RefCell<Vec<_>>> = Rc::clone(&arrived);
        Ok(move || arrived.borrow_mut().push(parcel))
    });

    let (given, taken) = tokio::join!(giving, taking);

    assert_eq!((given.taken, given.refused), (500, 0));
    assert!(given.broken.is_none());
    assert_eq!(taken.unwrap(), 500);
    for (index, (mut offered, parcel)) in offered.into_iter().zip(arrived.take()).enumerate() {
        assert!(offered.is_taken());
        assert_eq!(parcel.dossier, named(&index));
        offered.ends.talk_through(parcel);
    }
}

#[tokio::test]
async fn a_tunnel_that_is_refused_comes_back_and_the_others_move() {
    let (giving, arriving) = ready().await;
    let (offered, giving) = give(giving, ["good", "bad", "good"].map(named));
    let taking = arriving.take(|parcel: Parcel<Dossier>| match parcel.dossier {
        Dossier::Named(name) if name == "bad" => Err("I know no such pool".to_owned()),
        _ => Ok(|| {}),
    });

    let (given, taken) = tokio::join!(giving, taking);

    assert_eq!((given.taken, given.refused, taken.unwrap()), (2, 1, 2));
    let [mut first, second, mut third] = <[_; 3]>::try_from(offered).ok().unwrap();
    assert!(first.is_taken() && third.is_taken());
    assert_eq!(second.returned(), "I know no such pool");
}

#[tokio::test]
async fn a_tunnel_that_cannot_be_told_of_comes_back_and_the_others_move() {
    let (giving, arriving) = ready().await;
    let bad = [Dossier::Secret, Dossier::Huge(9)];
    let (mut offered, giving) = give(giving, bad.into_iter().chain([named("good")]));
    let taking = arriving.take(|_: Parcel<Dossier>| Ok(|| {}));

    let (given, taken) = tokio::join!(giving, taking);

    assert_eq!((given.taken, given.refused, taken.unwrap()), (1, 2, 1));
    assert!(given.broken.is_none());
    assert!(offered.pop().unwrap().is_taken());
    let reasons: Vec<_> = offered
        .into_iter()
        .map(|offered| offered.returned())
        .collect();
    assert!(reasons[0].contains("JSON"), "{reasons:?}");
    assert!(reasons[1].contains("dossier"), "{reasons:?}");
}

#[tokio::test]
async fn a_tunnel_whose_sockets_are_lost_is_refused() {
    let (mut old, arriving) = rude_and_ready().await;
    let old = async {
        let tunnel = json!({ "tunnel": { "id": 7, "dossier": { "Named": "bare" } } });
        old.say(&tunnel).await;
        let answer = old.hear().await;
        assert_eq!(answer["refused"]["id"], 7);
        let reason = answer["refused"]["reason"].as_str().unwrap();
        assert!(reason.contains("too many open files"), "{reason}");
        old.say(&json!({ "done": {} })).await;
    };
    let (taken, ()) = tokio::join!(arriving.take(|_: Parcel<Dossier>| Ok(|| {})), old);
    assert_eq!(taken.unwrap(), 0);
}

#[tokio::test]
async fn a_tunnel_is_the_old_process_s_own_until_it_knows_that_it_is_taken() {
    let (giving, mut new) = ready_for_the_rude().await;
    let (mut offered, giving) = give(giving, [named("only")]);
    let new = async {
        let id = new.tunnel().await;
        all_is_quiet().await;
        assert!(offered[0].answer.try_recv().is_err());
        new.say(&json!({ "taken": { "id": id } })).await;
    };
    let (given, ()) = tokio::join!(giving, new);
    assert_eq!(given.taken, 1);
    assert!(offered[0].is_taken());
}
