//! Backends and what they share.

use super::{super::Balance, backends, refuses, valid};

#[test]
fn backends_share_the_pools_limit_unless_they_have_their_own() {
    let text = backends(
        "[\"a:1\", { address = \"b:1\", weight = 100, max_tunnels = 7 }, { address = \"c:1\" }]",
        "max_tunnels = 5\nbalance = \"random-of-two\"",
    );
    let pool = valid(&text).pools.remove(0);
    let read: Vec<_> = pool
        .backends
        .iter()
        .map(|backend| (backend.weight.get(), backend.max_tunnels.unwrap().get()))
        .collect();
    assert_eq!(read, [(1, 5), (100, 7), (1, 5)]);
    assert_eq!(pool.balance, Balance::RandomOfTwo);
}

#[test]
fn wrong_backends_are_refused() {
    for (list, word) in [
        ("[]", "at least one backend"),
        ("[3]", "found an integer"),
        ("\"a:1\"", "found a string"),
        ("[\"a\"]", "port is missing"),
        ("[{ address = \"a:1\", weight = 0 }]", "from 1 to 100"),
        ("[{ address = \"a:1\", weight = 101 }]", "from 1 to 100"),
        ("[{ address = \"a:1\", max_tunnels = 0 }]", "from 1"),
        (
            "[{ address = \"a:1\", wieght = 2 }]",
            "did you mean `weight`?",
        ),
        ("[{ weight = 1 }]", "`address` is missing"),
        ("[\"a:1\", { address = \"A:1\" }]", "twice"),
    ] {
        refuses(&backends(list, ""), list, &[word]);
    }
    refuses(
        &backends("[\"a:1\"]", "balance = \"best\""),
        "balance",
        &["`round-robin`"],
    );
}
