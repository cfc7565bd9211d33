#![no_main]

use libfuzzer_sys::fuzz_target;
use longwire_fuzz::claims::a_path_means_what_servers_make_of_it;

fuzz_target!(|bytes: &[u8]| a_path_means_what_servers_make_of_it(bytes));
