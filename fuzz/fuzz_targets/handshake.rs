#![no_main]

use libfuzzer_sys::fuzz_target;
use longwire_fuzz::claims::a_handshake_is_granted_only_as_it_was_asked_for;

fuzz_target!(|bytes: &[u8]| a_handshake_is_granted_only_as_it_was_asked_for(bytes));
