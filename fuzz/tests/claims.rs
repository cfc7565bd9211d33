//! The fuzz targets' claims for a short time each, without a fuzzer.

use longwire_fuzz::claims;
use proptest::{collection::vec, prelude::*};

/// Few decisions as often as many, for a short input goes deep sooner.
fn decisions() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..64),
        vec(0..48_u8, 0..300),
        vec(any::<u8>(), 0..2_000)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        // It is for files beside sources of a crate, and says what it found anyway.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_scanner_releases_all_but_our_pongs_at_any_pace(bytes in decisions()) {
        claims::a_scanner_releases_all_but_our_pongs_at_any_pace(&bytes);
    }

    #[test]
    fn a_handshake_is_granted_only_as_it_was_asked_for(bytes in decisions()) {
        claims::a_handshake_is_granted_only_as_it_was_asked_for(&bytes);
    }

    #[test]
    fn only_a_cookie_that_was_issued_brings_its_bearer_back(bytes in decisions()) {
        claims::only_a_cookie_that_was_issued_brings_its_bearer_back(&bytes);
    }

    #[test]
    fn a_configuration_is_read_or_its_faults_are_named(bytes in decisions()) {
        claims::a_configuration_is_read_or_its_faults_are_named(&bytes);
    }

    #[test]
    fn only_trusted_proxies_say_who_the_client_is(bytes in decisions()) {
        claims::only_trusted_proxies_say_who_the_client_is(&bytes);
    }

    #[test]
    fn a_path_means_what_servers_make_of_it(bytes in decisions()) {
        claims::a_path_means_what_servers_make_of_it(&bytes);
    }
}
