#![no_main]

use libfuzzer_sys::fuzz_target;
use longwire_fuzz::claims::only_a_cookie_that_was_issued_brings_its_bearer_back;

fuzz_target!(|bytes: &[u8]| only_a_cookie_that_was_issued_brings_its_bearer_back(bytes));
