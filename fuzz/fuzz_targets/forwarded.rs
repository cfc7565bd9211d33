#![no_main]

use libfuzzer_sys::fuzz_target;
use longwire_fuzz::claims::only_trusted_proxies_say_who_the_client_is;

fuzz_target!(|bytes: &[u8]| only_trusted_proxies_say_who_the_client_is(bytes));
