#![no_main]

use libfuzzer_sys::fuzz_target;
use longwire_fuzz::claims::a_configuration_is_read_or_its_faults_are_named;

fuzz_target!(|bytes: &[u8]| a_configuration_is_read_or_its_faults_are_named(bytes));
