#![no_main]

use libfuzzer_sys::fuzz_target;
use longwire_fuzz::claims::a_scanner_releases_all_but_our_pongs_at_any_pace;

fuzz_target!(|bytes: &[u8]| a_scanner_releases_all_but_our_pongs_at_any_pace(bytes));
